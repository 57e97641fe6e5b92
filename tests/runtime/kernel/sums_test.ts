import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { vectorByteLength } from "../../../runtime/kernel/kernel.ts";
import {
  assertSameNumbers,
  dtypes,
  elements,
  FREE,
  KERNELS,
  kinds,
  Random,
  seeds,
  unitVectors,
  write,
} from "./arbitrary.ts";
import { elementByteLength, FLOAT_DTYPES } from "../../../runtime/safetensors/dtype.ts";
import { valuesOf } from "./reference.ts";

const WASM = KERNELS[0]!;
const MAGNITUDES = [0, 1, 1, 1e-200, 1e-42, 2 ** -99, 2 ** -101, 1e11, 1e12, 4e37, 5e37, 1e300, Infinity, NaN];

Deno.test("reduceRows: WASM gives the specification's sums, and both stay in their places", () => {
  fc.assert(
    fc.property(
      fc.record({
        seed: seeds,
        dtype: dtypes,
        kind: kinds,
        rowCount: fc.integer({ min: 1, max: 13 }),
        columnCount: fc.integer({ min: 1, max: 70 }),
        offset: fc.integer({ min: 0, max: 9 }),
        gap: fc.constantFrom(0, 3, 32),
        pair: fc.boolean(),
      }),
      (shape) => {
        const { dtype, rowCount, columnCount } = shape;
        const random = new Random(shape.seed);
        const rowStride = columnCount * elementByteLength(dtype) + shape.gap;
        const tile = FREE + shape.offset;
        const [p, q, pSums, qSums, scratch] = [0, 1, 2, 3, 4].map((n) => FREE + 65536 * (n + 1)) as number[] as [
          number,
          number,
          number,
          number,
          number,
        ];
        write(tile, elements(random, dtype, shape.kind, rowCount * rowStride));
        write(p, unitVectors(random, 1, rowCount));
        write(q, unitVectors(random, 1, rowCount));
        const before = Float64Array.from({ length: columnCount + 2 }, () => random.signed());
        write(pSums - 8, before);
        write(qSums - 8, before);
        for (const kernel of KERNELS) {
          kernel.reduceRows({
            dtype,
            tile,
            rowCount,
            rowStride,
            columnCount,
            p,
            q: shape.pair ? q : 0,
            pSums,
            qSums: shape.pair ? qSums : 0,
            scratch,
          });
        }
        const message = JSON.stringify(shape);
        for (const sums of [pSums, qSums]) {
          assertSameNumbers(Float64Array, sums - 8, sums + 8 * (columnCount + 1), message);
          const after = new Float64Array(WASM.bytes.slice(sums - 8, sums + 8 * (columnCount + 1)).buffer);
          assertEquals([after[0], after.at(-1)], [before[0], before.at(-1)], message);
        }
        if (!shape.pair) assertEquals(new Float64Array(WASM.bytes.slice(qSums - 8, qSums).buffer)[0], before[0]);
      },
    ),
    { numRuns: 2000 },
  );
});

Deno.test("reduceRows: the sums of segments are near the exact ones", () => {
  for (const dtype of FLOAT_DTYPES) {
    const random = new Random(5);
    const [rowCount, columnCount] = [128, 40];
    write(FREE, elements(random, dtype, "weights", rowCount * columnCount));
    const p = FREE + (1 << 16), sums = p + 4096, scratch = sums + 4096;
    const coefficients = unitVectors(random, 1, rowCount);
    write(p, coefficients);
    write(sums, new Float64Array(columnCount));
    const rowStride = columnCount * elementByteLength(dtype);
    const job = { dtype, rowStride, columnCount, q: 0, pSums: sums, qSums: 0, scratch };
    for (let row = 0; row < rowCount; row += 32) {
      WASM.reduceRows({ ...job, tile: FREE + row * rowStride, rowCount: 32, p: p + 4 * row });
    }
    const w = valuesOf(WASM, dtype, FREE, rowCount * columnCount);
    const got = new Float64Array(WASM.bytes.slice(sums, sums + 8 * columnCount).buffer);
    for (let j = 0; j < columnCount; j++) {
      const column = Array.from(coefficients, (x, i) => [x, w[i * columnCount + j]!] as const);
      const exact = column.reduce((sum, [x, y]) => sum + x * y, 0);
      const norm = Math.sqrt(column.reduce((sum, [, y]) => sum + y * y, 0));
      const error = Math.abs(got[j]! - exact);
      if (error > 4 * 2 ** -24 * norm) throw new Error(`${dtype} column ${j}: off by ${error}, norm ${norm}`);
    }
  }
});

Deno.test("prepareSums: WASM gives the specification's sums and vectors", () => {
  fc.assert(
    fc.property(
      fc.record({
        seed: seeds,
        dtype: dtypes,
        chunkCount: fc.integer({ min: 1, max: 4 }),
        chunkLength: fc.integer({ min: 1, max: 40 }),
        right: fc.constantFrom(0, 1, 2),
        shared: fc.boolean(),
        magnitude: fc.constantFrom(...MAGNITUDES),
        scale: fc.constantFrom(1, 2, -0.3),
      }),
      (shape) => {
        const { dtype, chunkCount, chunkLength, scale } = shape;
        const random = new Random(shape.seed);
        const bytes = vectorByteLength(chunkLength);
        const u = FREE, v = u + 4096, sums = v + 4096, target = sums + 4096;
        const units = [u, v].map((address) => {
          const values = unitVectors(random, chunkCount, chunkLength);
          for (const kernel of KERNELS) kernel.writeVectors(dtype, address, values, chunkLength);
        });
        assertEquals(units.length, 2);
        const values = Float64Array.from({ length: chunkCount * chunkLength + 1 }, () => random.signed());
        values[random.below(values.length - 1)]! *= shape.magnitude;
        write(sums, values);
        write(target, new Uint8Array(chunkCount * bytes + 64).fill(0xaa));
        const right = shape.right === 0 ? null : {
          u,
          v: shape.right === 2 ? v : 0,
          vectorStride: shape.shared ? 0 : bytes,
          alpha: 1.7,
          beta: 0.6,
        };
        const results = KERNELS.map((kernel) =>
          kernel.prepareSums({ dtype, sums, chunkCount, chunkLength, right, scale, target })
        );
        const message = JSON.stringify(shape);
        assertEquals(results[0], results[1], message);
        assertSameNumbers(Float64Array, sums, sums + 8 * values.length, message);
        assertSameNumbers(Float32Array, target, target + chunkCount * bytes + 64, message);

        const after = new Float64Array(WASM.bytes.slice(sums, sums + 8 * (values.length - 1)).buffer);
        const limit = dtype === "F16" ? 2 ** 40 : 2 ** 125;
        const fits = (x: number) => x === 0 || (Math.abs(x) < limit && Math.abs(x) >= 2 ** -100);
        assertEquals(results[0], !after.every(fits), message);
      },
    ),
    { numRuns: 2000 },
  );
});
