import { assertEquals, assertRejects } from "@std/assert";
import { readBody } from "../../../routes/access/body.ts";
import { ByteBudget } from "../../../routes/access/budget.ts";
import { EtherError } from "../../../runtime/error.ts";

const LIMITS = { maxBytes: 100, milliseconds: 10_000 };

function request(body: BodyInit | null, headers: Record<string, string> = {}): Request {
  return new Request("http://host/", { method: "POST", body, headers });
}

/** A body that comes in pieces, and may then wait for ever. */
function pieces(sizes: readonly number[], { waits = false, fails = false } = {}) {
  let cancelled = false;
  const left = [...sizes];
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      const size = left.shift();
      if (size !== undefined) controller.enqueue(new Uint8Array(size).fill(size));
      else if (fails) controller.error(new TypeError("the peer went away"));
      else if (waits) return new Promise(() => {});
      else controller.close();
    },
    cancel() {
      cancelled = true;
    },
  });
  return { stream, wasCancelled: () => cancelled };
}

async function refused(body: Request, limits = LIMITS, budget = new ByteBudget(1000)) {
  const error = await assertRejects(() => readBody(body, limits, budget), EtherError);
  assertEquals(budget.usedBytes, 0, "what was held came back");
  return error.code;
}

Deno.test("body: comes whole, and what it takes is held until it is released", async () => {
  const budget = new ByteBudget(1000);
  const { bytes, reservation } = await readBody(request(pieces([3, 0, 60, 2]).stream), LIMITS, budget);
  assertEquals(bytes, Uint8Array.from([3, 3, 3, ...new Array(60).fill(60), 2, 2]));
  assertEquals(budget.usedBytes, 100);
  reservation.release();
  assertEquals(budget.usedBytes, 0);
  const declared = await readBody(request("12345", { "content-length": "5" }), LIMITS, budget);
  assertEquals([declared.bytes.byteLength, budget.usedBytes], [5, 5]);
  const none = await readBody(request(null, { "content-length": "0" }), LIMITS, budget);
  assertEquals(none.bytes.byteLength, 0);
});

Deno.test("body: of exactly the limit passes, one byte more does not", async () => {
  assertEquals((await readBody(request(pieces([50, 50]).stream), LIMITS, new ByteBudget())).bytes.byteLength, 100);
  const longer = pieces([50, 51], { waits: true });
  assertEquals(await refused(request(longer.stream)), "too_large");
  assertEquals(longer.wasCancelled(), true);
});

Deno.test("body: a length above the limit is refused before a byte is read", async () => {
  const never = pieces([], { waits: true });
  assertEquals(await refused(request(never.stream, { "content-length": "101" })), "too_large");
});

Deno.test("body: more than the length that was declared is refused", async () => {
  assertEquals(await refused(request(pieces([5, 6]).stream, { "content-length": "10" })), "too_large");
});

Deno.test("body: one that does not come in time is given up", async () => {
  const slow = pieces([5], { waits: true });
  assertEquals(await refused(request(slow.stream), { ...LIMITS, milliseconds: 5 }), "timed_out");
  assertEquals(slow.wasCancelled(), true);
});

Deno.test("body: one that breaks off is the client's doing", async () => {
  assertEquals(await refused(request(pieces([5], { fails: true }).stream)), "usage");
});

Deno.test("body: a length that is no number is refused", async () => {
  for (const length of ["-1", "1e3", "9".repeat(30)]) {
    assertEquals(await refused(request("x", { "content-length": length })), "usage");
  }
});

Deno.test("body: there must be room for it, from the start where its length is known", async () => {
  for (const headers of [{}, { "content-length": "60" }] as Record<string, string>[]) {
    const budget = new ByteBudget(150);
    const first = await readBody(request(pieces([60]).stream, headers), LIMITS, budget);
    const held = budget.usedBytes;
    await readBody(request(pieces([10]).stream, { "content-length": "10" }), LIMITS, budget);
    const second = request(pieces([60, 40]).stream, headers["content-length"] ? { "content-length": "100" } : {});
    assertEquals((await assertRejects(() => readBody(second, LIMITS, budget), EtherError)).code, "busy");
    assertEquals(budget.usedBytes, held + 10);
    first.reservation.release();
    assertEquals(budget.usedBytes, 10);
  }
});
