import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { SketchStore } from "../../../runtime/execute/sketch_store.ts";

const sketch = (value: number, length = 4) => new Float64Array(length).fill(value);

Deno.test("SketchStore: keeps what fits, the least recently used goes first", async () => {
  const store = new SketchStore(3 * 32);
  const made: string[] = [];
  const get = (key: string, length = 4) =>
    store.get({ key, make: () => Promise.resolve((made.push(key), sketch(made.length, length))) });
  for (const key of ["a", "b", "c", "a", "d", "a", "b"]) await get(key);
  assertEquals(made.join(""), "abcdb");
  assertEquals(store.byteLength, 96);
  // Too large to be kept, and nothing goes for it.
  await get("e", 100);
  await get("b");
  assertEquals(made.join(""), "abcdbe");
  assertEquals(store.byteLength, 96);
});

Deno.test("SketchStore: all who ask at the same time get the one that is made", async () => {
  const store = new SketchStore(1000);
  const made = Promise.withResolvers<Float64Array>();
  let count = 0;
  const make = () => (count++, made.promise);
  const asked = [1, 2, 3].map(() => store.get({ key: "a", make }));
  made.resolve(sketch(7));
  const all = await Promise.all(asked);
  for (const one of all) assertStrictEquals(one, all[0]!);
  assertEquals(count, 1);
});

Deno.test("SketchStore: where one fails, the next one who waits makes it", async () => {
  const store = new SketchStore(1000);
  const first = Promise.withResolvers<Float64Array>();
  const failing = store.get({ key: "a", make: () => first.promise });
  const waiting = [2, 3].map((value) => store.get({ key: "a", make: () => Promise.resolve(sketch(value)) }));
  first.reject(new Error("the client left"));
  await assertRejects(() => failing, Error, "the client left");
  assertEquals((await Promise.all(waiting)).map((one) => one[0]), [2, 2]);
});

Deno.test("SketchStore: who waits can leave, and the others do not notice", async () => {
  const store = new SketchStore(1000);
  const made = Promise.withResolvers<Float64Array>();
  const maker = store.get({ key: "a", make: () => made.promise });
  const stop = new AbortController();
  const leaving = store.get({ key: "a", make: () => Promise.reject(new Error("not mine")), signal: stop.signal });
  stop.abort(new Error("gone"));
  await assertRejects(() => leaving, Error, "gone");
  made.resolve(sketch(5));
  assertEquals((await maker)[0], 5);
  assertEquals((await store.get({ key: "a", make: () => Promise.reject(new Error("again")) }))[0], 5);
});
