import { assertEquals, assertRejects } from "@std/assert";
import { ByteBudget } from "../../../routes/access/budget.ts";
import { type Outcome, RequestRecord, type StreamWatch } from "../../../routes/observe/request_record.ts";

/** A source of pieces that notes what is done with it. */
function source(sizes: readonly number[], { failsAtEnd = false } = {}) {
  const notes = { pulled: 0, cancelled: null as unknown };
  const left = [...sizes];
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      notes.pulled++;
      const size = left.shift();
      if (size !== undefined) controller.enqueue(new Uint8Array(size));
      else if (failsAtEnd) controller.error(new Error("the disk is gone"));
      else controller.close();
    },
    cancel(reason) {
      notes.cancelled = reason;
    },
  }, { highWaterMark: 0 });
  return { stream, notes };
}

/** A record over a source, with one reservation, and each end that was reported. */
function watched(sizes: readonly number[], watch: StreamWatch = {}, options = {}) {
  const budget = new ByteBudget(100);
  const { stream, notes } = source(sizes, options);
  const record = new RequestRecord();
  const body = record.stream(stream, { reservation: budget.reserve(60), ...watch });
  const ends: (Outcome | null)[] = [];
  record.whenEnded(() => ends.push(record.outcome));
  return { budget, notes, record, body, ends };
}

Deno.test("record: a request without a stream has ended with its handler", () => {
  const record = new RequestRecord();
  const ends: unknown[] = [];
  record.whenEnded(() => ends.push(record.outcome));
  assertEquals(ends, ["done"]);
});

Deno.test("record: a stream that is taken whole ends once, and gives back what it held", async () => {
  const { budget, record, body, ends } = watched([10, 20, 30], { byteLength: 60 });
  assertEquals([budget.usedBytes, ends], [60, []]);
  assertEquals((await new Response(body).bytes()).byteLength, 60);
  assertEquals([budget.usedBytes, record.byteLength, ends], [0, 60, ["done"]]);
});

Deno.test("record: nothing is read before it is pulled, and one piece for each pull", async () => {
  const { notes, body } = watched([1, 1, 1]);
  await new Promise((resolve) => setTimeout(resolve));
  assertEquals(notes.pulled, 0);
  const reader = body.getReader();
  await reader.read();
  await new Promise((resolve) => setTimeout(resolve));
  assertEquals(notes.pulled, 1);
  await reader.cancel();
});

Deno.test("record: a chunk keeps its memory, or loses it when the next one is asked for", async () => {
  for (const releaseChunks of [undefined, false, true]) {
    const { body } = watched([3, 4], { releaseChunks });
    const reader = body.getReader();
    const first = (await reader.read()).value!;
    assertEquals(first.byteLength, 3);
    const second = (await reader.read()).value!;
    assertEquals([first.byteLength, second.byteLength], [releaseChunks ? 0 : 3, 4]);
    assertEquals((await reader.read()).done, true);
    assertEquals(second.byteLength, releaseChunks ? 0 : 4);
  }
});

Deno.test("record: a reader that has taken a chunk's memory for itself ends the stream like any other", async () => {
  const { budget, body, ends } = watched([3, 4], { releaseChunks: true });
  const reader = body.getReader();
  const taken = (await reader.read()).value!.buffer.transfer();
  while (!(await reader.read()).done);
  assertEquals([taken.byteLength, budget.usedBytes, ends], [3, 0, ["done"]]);
});

Deno.test("record: what Deno.serve has not sent yet is not lost where chunks are released", async () => {
  const size = 200_000;
  const chunk = (seed: number) => Uint8Array.from({ length: size }, (_, i) => i * 7 + seed);
  let seed = 0;
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, () => {
    const source = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: (controller) => seed === 40 ? controller.close() : controller.enqueue(chunk(seed++)),
    }, { highWaterMark: 0 });
    return new Response(new RequestRecord().stream(source, { releaseChunks: true }));
  });
  const answer = await fetch(`http://127.0.0.1:${server.addr.port}/`);
  // A reader that sleeps: more is made than the connection takes.
  await new Promise((resolve) => setTimeout(resolve, 200));
  const bytes = await answer.bytes();
  assertEquals(bytes.byteLength, 40 * size);
  for (let i = 0; i < 40; i++) assertEquals(bytes.subarray(i * size, (i + 1) * size), chunk(i), `chunk ${i}`);
});

Deno.test("record: a client that goes away cancels the source, before the first byte and after it", async () => {
  for (const reads of [0, 1]) {
    const { budget, notes, body, ends } = watched([5, 5]);
    const reader = body.getReader();
    for (let i = 0; i < reads; i++) await reader.read();
    await reader.cancel("gone");
    assertEquals([budget.usedBytes, ends, notes.cancelled], [0, ["cancelled"], "gone"]);
  }
});

Deno.test("record: an error of the source breaks the stream, and gives back what it held", async () => {
  const { budget, body, record, ends } = watched([5], {}, { failsAtEnd: true });
  const told = await assertRejects(() => new Response(body).bytes(), Error, "a body broke off");
  assertEquals([(record.error as Error).message, told.cause], ["the disk is gone", undefined]);
  assertEquals(Deno.inspect(told).includes("disk"), false);
  assertEquals([budget.usedBytes, ends], [0, ["failed"]]);
});

Deno.test("record: a byte too many or too few breaks the stream", async () => {
  for (const byteLength of [9, 11]) {
    const { budget, body, record, ends } = watched([5, 5], { byteLength });
    await assertRejects(() => new Response(body).bytes(), Error, "a body broke off");
    assertEquals((record.error as Error).message, `a body of ${byteLength} bytes has 10`);
    assertEquals([budget.usedBytes, ends], [0, ["failed"]]);
  }
});

Deno.test("record: a client that takes nothing any more is given up", async () => {
  const { budget, notes, body, ends } = watched([5, 5], { stallMilliseconds: 5 });
  const reader = body.getReader();
  await reader.read();
  await new Promise((resolve) => setTimeout(resolve, 30));
  assertEquals([budget.usedBytes, ends], [0, ["cancelled"]]);
  assertEquals((notes.cancelled as Error).message, "the client takes nothing");
  await assertRejects(() => reader.read(), Error, "takes nothing");
});
