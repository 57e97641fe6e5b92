import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { WasmKernel } from "../../../runtime/kernel/wasm.ts";
import { Arena, roomFor } from "../../../runtime/methods/arena.ts";

Deno.test("Arena.take: aligned addresses that do not overlap, in a memory that is large enough", () => {
  fc.assert(fc.property(fc.array(fc.nat({ max: 300_000 }), { maxLength: 12 }), (lengths) => {
    const kernel = new WasmKernel();
    const arena = new Arena(kernel);
    let end = kernel.base;
    for (const length of lengths) {
      const address = arena.take(length);
      assertEquals([address % 64, address >= end], [0, true]);
      end = address + length;
      assert(kernel.bytes.byteLength >= end);
      assertEquals(arena.mark(), address + roomFor(length));
    }
  }));
});

Deno.test("Arena.release: what was taken after the mark is handed out again, what lay before keeps its bytes", () => {
  const kernel = new WasmKernel();
  const arena = new Arena(kernel);
  const kept = arena.take(100);
  kernel.bytes.fill(7, kept, kept + 100);
  const mark = arena.mark();
  const first = arena.take(1 << 20);
  arena.release(mark);
  assertEquals(arena.take(10), first);
  assert(kernel.bytes.subarray(kept, kept + 100).every((byte) => byte === 7));
});

Deno.test("Arena.take: more than a kernel can have is a RangeError, and leaves the arena as it was", () => {
  const arena = new Arena(new WasmKernel());
  const mark = arena.mark();
  assertThrows(() => arena.take(2 ** 33), RangeError, "memory");
  assertEquals(arena.mark(), mark);
});
