/** Finished sums x = ũᵀW, reflected as the rows will be and scaled: {@link prepareSums}. In f64 throughout. */
import { type SumsJob, vectorByteLength } from "../kernel.ts";
import { laneOf } from "../lanes.ts";
import type { Memory } from "./memory.ts";
import { limitOf } from "./rows.ts";

/** See {@link SumsJob}. True if some |x| is not below the limit of the f32 path. */
export function prepareSums(memory: Memory, job: SumsJob): boolean {
  const { dtype, chunkLength: n, right } = job;
  let fits = true;
  for (let chunk = 0; chunk < job.chunkCount; chunk++) {
    const sums = job.sums + 8 * chunk * n;
    const target = job.target + chunk * vectorByteLength(n);
    const x = memory.doubles(sums, n);
    const vector = (start: number) => memory.vector(dtype, start + chunk * right!.vectorStride, n);
    const u = right ? vector(right.u) : undefined;
    const v = right?.v ? vector(right.v) : undefined;
    const cu = u ? Math.fround(right!.alpha) * dot(x, u) : 0;
    const cv = v ? Math.fround(right!.beta) * dot(x, v) : 0;
    memory.bytes.fill(0, target, target + vectorByteLength(n));
    x.forEach((value, e) => {
      if (u && v) value += cv * v[e]! - cu * u[e]!;
      else if (u) value -= cu * u[e]!;
      value *= job.scale;
      fits &&= Math.abs(value) < limitOf(dtype);
      memory.setF64(sums + 8 * e, value);
      memory.setF32(target + 4 * laneOf(dtype, e), value);
    });
  }
  return !fits;
}

/** Σ x[e]·u[e] in f64: eight strided sums, k = e mod 8, added by halves: k + 4, then k + 2, then k + 1. */
function dot(x: Float64Array, u: Float32Array): number {
  const totals = new Float64Array(8);
  x.forEach((value, e) => totals[e & 7] = totals[e & 7]! + value * u[e]!);
  for (const half of [4, 2, 1]) {
    for (let k = 0; k < half; k++) totals[k] = totals[k]! + totals[k + half]!;
  }
  return totals[0]!;
}
