import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { EnergySample, energySampleSize } from "../../../runtime/analysis/hyperspherical_energy.ts";
import { Random } from "../kernel/arbitrary.ts";

/** Σ_{i≠j} 1/‖ŵ_i − ŵ_j‖, pair by pair. */
function energyOf(values: Float32Array, length: number): number {
  const rows = Array.from({ length: values.length / length }, (_, i) => values.subarray(i * length, (i + 1) * length));
  const units = rows.map((row) => {
    const norm = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
    return Float64Array.from(row, (x) => x / norm);
  });
  let energy = 0;
  for (const [i, a] of units.entries()) {
    for (const [j, b] of units.entries()) {
      if (i !== j) energy += 1 / Math.sqrt(a.reduce((sum, x, k) => sum + (x - b[k]!) ** 2, 0));
    }
  }
  return energy;
}

function drawRows(random: Random, count: number, length: number, mean = 0): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count * length }, () => random.normal() + mean);
}

/** A sample of a matrix and of another, as if rows went by. */
function sampleOf(before: Float32Array, after: Float32Array, length: number, seed: number, size?: number) {
  const sample = new EnergySample(before.length / length, length, seed, size);
  for (const [place, row] of sample.indices.entries()) {
    sample.before.set(before.subarray(row * length, (row + 1) * length), place * length);
    sample.after.set(after.subarray(row * length, (row + 1) * length), place * length);
  }
  return sample;
}

Deno.test("energy: of a small matrix it is the sum over all pairs, and exact", () => {
  const random = new Random(1);
  for (const [count, length] of [[2, 1 + 2], [5, 8], [33, 7], [60, 32]] as const) {
    const [before, after] = [drawRows(random, count, length), drawRows(random, count, length, 0.3)];
    const found = sampleOf(before, after, length, 3).finish()!;
    assert(found.exact);
    assertEquals([found.neuronCount, found.before.standardError, found.after.standardError], [count, 0, 0]);
    const [expected, changed] = [energyOf(before, length), energyOf(after, length)];
    assertAlmostEquals(found.before.value, expected, 1e-9 * expected);
    assertAlmostEquals(found.after.value, changed, 1e-9 * changed);
    assertAlmostEquals(found.relativeChange.value, changed / expected - 1, 1e-9);
  }
});

Deno.test("energy: a pair that nearly coincides keeps its digits", () => {
  const before = Float32Array.of(1, 0, 0, 1, 2 ** -20, 0);
  const found = sampleOf(before, before, 3, 1).finish()!;
  assertAlmostEquals(found.before.value, 2 * 2 ** 20, 1e-3);
});

Deno.test("energy: a sample's mean over many seeds is the whole, and its standard error tells how far one is off", () => {
  const random = new Random(7);
  const [count, length] = [200, 6];
  const before = drawRows(random, count, length, 0.4);
  const after = before.map((x, i) => x + 0.2 * random.normal() * (1 + i / before.length));
  const exact = energyOf(before, length);
  const change = energyOf(after, length) / exact - 1;
  const seeds = Array.from({ length: 300 }, (_, i) => i + 1);
  const found = seeds.map((seed) => sampleOf(before, after, length, seed, 24).finish()!);
  assert(found.every((one) => !one.exact && one.neuronCount === 24));
  const meanOf = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const spreadOf = (values: readonly number[]) => {
    const mean = meanOf(values);
    return Math.sqrt(meanOf(values.map((value) => (value - mean) ** 2)));
  };
  const energies = found.map((one) => one.before.value);
  // The mean of 300 is off by a seventeenth of what one is off by.
  assertAlmostEquals(meanOf(energies), exact, 4 * spreadOf(energies) / Math.sqrt(300));
  const changes = found.map((one) => one.relativeChange.value);
  assertAlmostEquals(meanOf(changes), change, 0.2 * spreadOf(changes) + 4 * spreadOf(changes) / Math.sqrt(300));
  for (const name of ["before", "relativeChange"] as const) {
    const ratio = meanOf(found.map((one) => one[name].standardError)) / spreadOf(found.map((one) => one[name].value));
    assert(ratio > 0.8 && ratio < 1.5, `the standard error of ${name} is ${ratio} of the spread`);
  }
});

Deno.test("energy: the same seed draws the same rows, in order, each at most once", () => {
  const draw = (seed: number) => [...new EnergySample(1000, 4, seed, 100).indices];
  assertEquals(draw(5), draw(5));
  assert(draw(5).join() !== draw(6).join());
  assertEquals(new Set(draw(5)).size, 100);
  assertEquals(draw(5), draw(5).sort((a, b) => a - b));
  assert(draw(5).every((row) => row >= 0 && row < 1000));
  const counts = new Float64Array(10);
  for (let seed = 1; seed <= 2000; seed++) for (const row of new EnergySample(10, 4, seed, 3).indices) counts[row]!++;
  assert(counts.every((count) => Math.abs(count - 600) < 6 * Math.sqrt(600 * 0.7)), `${counts}`);
});

Deno.test("energy: rows of zero have no direction and are left out; two of one direction have no finite energy", () => {
  const random = new Random(3);
  const rows = drawRows(random, 6, 5);
  const withZero = Float32Array.from([...rows, 0, 0, 0, 0, 0]);
  const found = sampleOf(withZero, withZero, 5, 1).finish(6)!;
  assertAlmostEquals(found.before.value, energyOf(rows, 5), 1e-8);
  const twice = Float32Array.from([...rows, ...rows.subarray(0, 5).map((x) => 2 * x)]);
  assertEquals(sampleOf(twice, twice, 5, 1).finish(), null);
  assertEquals(sampleOf(rows.subarray(0, 5), rows.subarray(0, 5), 5, 1).finish(), null);
});

Deno.test("energy: a sample stays within its memory and its time, whatever the shape", () => {
  for (const [count, length] of [[4096, 4096], [32000, 4096], [4096, 11008], [128000, 16384], [16, 1 << 20]] as const) {
    const size = energySampleSize(count, length);
    assert(size >= 16 && size <= count);
    assert(size === 16 || (size * length <= 2 ** 21 && size * size * length <= 2 ** 28), `${size} of ${length}`);
  }
  assertEquals(energySampleSize(512, 192), 512);
});
