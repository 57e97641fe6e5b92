import { assert, assertEquals } from "@std/assert";
import { WeightRows } from "../../../runtime/apply/weight_rows.ts";
import { loadKernel } from "../../../runtime/kernel/load.ts";
import { Arena } from "../../../runtime/methods/arena.ts";
import type { FloatDtype } from "../../../runtime/safetensors/dtype.ts";
import { encodeValues } from "../execute/problem.ts";
import { MemoryStorage } from "../execute/memory_storage.ts";

/** [out, in, dtype, what is special]. */
const CASES: readonly (readonly [number, number, FloatDtype, string])[] = [
  [5, 3, "F32", "less than a tile"],
  [700, 1000, "BF16", "several tiles"],
  [3, 300_000, "F16", "rows longer than a tile"],
  [2500, 1700, "BF16", "more columns than a panel has"],
  [301, 9000, "F32", "a panel that ends within a tile's worth"],
];

for (const [outCount, inCount, dtype, what] of CASES) {
  for (const storedInOut of [false, true]) {
    Deno.test(`WeightRows of [${outCount}, ${inCount}] ${dtype}, ${what}${storedInOut ? ", stored [in, out]" : ""}`, async () => {
      // Small whole numbers, which every dtype has.
      const valueAt = (o: number, i: number) => (o * 7 + i * 3) % 128;
      const offset = 13;
      const stored = new Float32Array(outCount * inCount);
      for (let o = 0; o < outCount; o++) {
        for (let i = 0; i < inCount; i++) stored[storedInOut ? i * outCount + o : o * inCount + i] = valueAt(o, i);
      }
      const bytes = encodeValues(dtype, stored);
      const file = new Uint8Array(offset + bytes.byteLength);
      file.set(bytes, offset);
      const storage = new MemoryStorage();
      storage.set("w", file);

      const kernel = loadKernel();
      const source = storage.openSource("w");
      const rows = new WeightRows({ source, offset, dtype, outCount, inCount, storedInOut }, kernel, new Arena(kernel));
      let wrong = 0;
      for (let start = 0; start < outCount;) {
        const count = await rows.load(start);
        assert(count > 0 && count <= rows.tileRows);
        const tile = new Float32Array(kernel.bytes.buffer, rows.address, count * inCount);
        for (let at = 0; at < tile.length; at++) {
          if (tile[at] !== valueAt(start + Math.floor(at / inCount), at % inCount)) wrong++;
        }
        start += count;
      }
      assertEquals(wrong, 0);
      assertEquals(storage.reads.get("w")!.byteLength, bytes.byteLength);
      assert(kernel.bytes.byteLength < 24 << 20, `${kernel.bytes.byteLength} bytes of memory`);
    });
  }
}
