import { assertEquals, assertStrictEquals } from "@std/assert";
import { SketchCache, sketchKey } from "../../../runtime/execute/sketches.ts";

const sketch = (value: number) => new Float64Array(4).fill(value);

Deno.test("SketchCache: drops the least recently used when it holds too much", () => {
  const cache = new SketchCache(3 * 32);
  for (const group of [0, 1, 2]) cache.set(sketchKey(0, 0, group), sketch(group));
  cache.get(sketchKey(0, 0, 0));
  cache.set(sketchKey(0, 0, 3), sketch(3));
  assertEquals([0, 1, 2, 3].map((group) => cache.get(sketchKey(0, 0, group))?.[0]), [0, undefined, 2, 3]);
});

Deno.test("SketchCache.take: zeros, in the memory of what was dropped where that fits", () => {
  const cache = new SketchCache(32);
  const first = sketch(5);
  cache.set(sketchKey(0, 0, 0), first);
  assertEquals([...cache.take(4)], [0, 0, 0, 0]);
  cache.set(sketchKey(0, 0, 1), sketch(6));
  assertEquals(cache.take(3).length, 3);
  const taken = cache.take(4);
  assertStrictEquals(taken, first);
  assertEquals([...taken], [0, 0, 0, 0]);
  assertEquals(cache.get(sketchKey(0, 0, 1))?.[0], 6);
});

Deno.test("SketchCache: what is set again counts once, and one that is too large by itself stays", () => {
  const cache = new SketchCache(2 * 32);
  for (let i = 0; i < 5; i++) cache.set(sketchKey(0, 0, 0), sketch(i));
  cache.set(sketchKey(0, 0, 1), sketch(9));
  assertEquals(cache.get(sketchKey(0, 0, 0))?.[0], 4);
  cache.set(sketchKey(1, 0, 0), new Float64Array(100));
  assertEquals(cache.get(sketchKey(1, 0, 0))?.length, 100);
  assertEquals(cache.get(sketchKey(0, 0, 0)), undefined);
});
