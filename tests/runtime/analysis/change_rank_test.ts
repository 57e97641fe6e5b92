import fc from "fast-check";
import { assertEquals } from "@std/assert";
import { pivotedRank, RankSketch } from "../../../runtime/analysis/change_rank.ts";
import { Random } from "../kernel/arbitrary.ts";

/** A product of rank `rank`, `[rows, columns]`. */
function lowRank(random: Random, rows: number, columns: number, rank: number): Float64Array {
  const left = Float64Array.from({ length: rows * rank }, () => random.normal());
  const right = Float64Array.from({ length: rank * columns }, () => random.normal());
  return Float64Array.from({ length: rows * columns }, (_, at) => {
    const [i, j] = [Math.floor(at / columns), at % columns];
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += left[i * rank + k]! * right[k * columns + j]!;
    return sum;
  });
}

const SHAPES = fc.record({
  seed: fc.nat(),
  rows: fc.integer({ min: 1, max: 40 }),
  columns: fc.integer({ min: 1, max: 40 }),
});

Deno.test("rank: pivoted QR finds the rank of a product", () => {
  fc.assert(fc.property(SHAPES, fc.double({ min: 0, max: 1, noNaN: true }), ({ seed, rows, columns }, share) => {
    const rank = Math.round(share * Math.min(rows, columns));
    assertEquals(pivotedRank(lowRank(new Random(seed), rows, columns, rank), rows, columns, 1e-9), rank);
  }));
});

/** The measured rank of a change to normal weights, with rows and columns of many scales, computed in f32. */
function measured(rows: number, columns: number, rank: number, bound: number, seed: number, size = 0.1): number {
  const random = new Random(seed);
  const change = lowRank(random, rows, columns, rank);
  const scaleOf = (index: number) => 2 ** (index * 5 % 17 - 8);
  const before = new Float32Array(rows * columns);
  const after = new Float32Array(rows * columns);
  for (let at = 0; at < before.length; at++) {
    const scale = scaleOf(Math.floor(at / columns)) * scaleOf(at % columns);
    before[at] = random.normal() * scale;
    after[at] = before[at]! + size * change[at]! * scale;
  }
  const sketch = new RankSketch(rows, columns, bound, seed);
  for (let row = 0; row < rows; row++) sketch.add(before, row * columns, after, row * columns);
  return sketch.finish();
}

for (const rank of [0, 1, 3, 8, 24]) {
  Deno.test(`rank: a change of rank ${rank} is measured through a sketch and without one, beneath f32's rounding`, () => {
    for (const [rows, columns] of [[300, 90], [90, 300], [24, 24], [120, 64]] as const) {
      for (const seed of [1, 2, 3]) assertEquals(measured(rows, columns, rank, rank, seed), rank);
    }
  });
}

Deno.test("rank: one beyond the bound shows", () => {
  for (const rank of [5, 9, 16]) assertEquals(measured(400, 80, rank, 4, rank), rank);
});

Deno.test("rank: a change of a ten-thousandth still counts", () => {
  assertEquals(measured(300, 60, 4, 4, 9, 1e-4), 4);
});

Deno.test("rank: rows and columns of zero bring nothing", () => {
  const sketch = new RankSketch(3, 2, 2, 1);
  const [before, after] = [Float32Array.of(0, 0, 1, 0, 2, 0), Float32Array.of(0, 0, 2, 0, 3, 0)];
  for (let row = 0; row < 3; row++) sketch.add(before, row * 2, after, row * 2);
  assertEquals(sketch.finish(), 1);
});
