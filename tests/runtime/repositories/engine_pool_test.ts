import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { EtherError } from "../../../runtime/error.ts";
import type { Engine } from "../../../runtime/execute/engine.ts";
import { EnginePool } from "../../../runtime/repositories/engine_pool.ts";

/** A pool of engines that only know whether they are closed. */
function makePool(maxCount: number) {
  const closed: number[] = [];
  const kernels: { bytes: Uint8Array }[] = [];
  const numbers = new Map<Engine, number>();
  const pool = new EnginePool({
    ...{ maxCount, maxKernelBytes: 100 },
    make: () => {
      const number = numbers.size;
      const engine = { close: () => void closed.push(number) } as unknown as Engine;
      numbers.set(engine, number);
      const kernel = { bytes: new Uint8Array(10) };
      kernels.push(kernel);
      return { engine, kernel };
    },
  });
  const use = (user: object, until: Promise<unknown> = Promise.resolve(), signal?: AbortSignal) =>
    pool.use(user, async (engine) => (await until, numbers.get(engine)!), signal);
  return { pool, use, closed, kernels };
}

Deno.test("EnginePool: whoever comes again gets the engine that they had", async () => {
  const { use, pool } = makePool(2);
  const [a, b, c] = [{}, {}, {}];
  assertEquals([await use(a), await use(b), await use(a), await use(b), await use(a)], [0, 1, 0, 1, 0]);
  // The one that rested longest.
  assertEquals([await use(c), await use(a), await use(c)], [1, 0, 1]);
  assertEquals(pool.count, 2);
});

Deno.test("EnginePool: first come, first served; who is stopped while waiting leaves the queue", async () => {
  const { use, pool } = makePool(1);
  const gate = Promise.withResolvers<void>();
  const order: string[] = [];
  const stop = new AbortController();
  const first = use({}, gate.promise);
  const second = use({}).then(() => order.push("second"));
  const stopped = use({}, undefined, stop.signal);
  const third = use({}).then(() => order.push("third"));
  stop.abort(new Error("the client left"));
  await assertRejects(() => stopped, Error, "the client left");
  await assertRejects(() => use({}, undefined, stop.signal), Error, "the client left");
  assertEquals(order, []);
  gate.resolve();
  await Promise.all([first, second, third]);
  assertEquals(order, ["second", "third"]);
  assertEquals(pool.count, 1);
});

Deno.test("EnginePool: an engine that may be broken, or has grown too large, is not lent again", async () => {
  const { use, pool, closed, kernels } = makePool(1);
  const user = {};
  const failures = [
    new RangeError("memory access out of bounds"),
    new WebAssembly.RuntimeError("unreachable"),
    new EtherError("io_error", "out of memory", { cause: new RangeError("memory") }),
  ];
  for (const failure of failures) await assertRejects(() => use(user, Promise.reject(failure)));
  assertEquals(closed, [0, 1, 2]);
  for (const failure of [new EtherError("io_error", "a bad disk"), new Error("the client left")]) {
    await assertRejects(() => use(user, Promise.reject(failure)));
  }
  assertEquals(await use(user), 3);
  kernels[3]!.bytes = new Uint8Array(101);
  assertEquals([await use(user), await use(user)], [3, 4]);
  assertEquals([closed, pool.count], [[0, 1, 2, 3], 1]);
});

Deno.test("EnginePool: who waits for an engine that breaks gets a new one", async () => {
  const { use } = makePool(1);
  const gate = Promise.withResolvers<void>();
  const breaking = use({}, gate.promise);
  const waiting = use({});
  gate.reject(new RangeError("memory"));
  await assertRejects(() => breaking);
  assertEquals(await waiting, 1);
});

Deno.test("EnginePool: closing refuses who waits, and closes engines as they come back", async () => {
  const { use, pool, closed } = makePool(2);
  const gate = Promise.withResolvers<void>();
  await use({});
  const running = use({}, gate.promise);
  const other = use({}, gate.promise);
  const waiting = use({});
  pool.close();
  assertStrictEquals((await assertRejects(() => waiting, EtherError)).code, "interrupted");
  gate.resolve();
  await Promise.all([running, other]);
  assertEquals([closed.sort(), pool.count], [[0, 1], 0]);
  await assertRejects(() => use({}), EtherError);
});
