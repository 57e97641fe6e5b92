/** Finished sums x = ũᵀW, reflected as the rows will be and scaled: {@link prepareSums}. In f64 throughout. */
import { type SumsJob, vectorByteLength } from "../kernel.ts";
import { laneOf } from "../lanes.ts";
import { exactDot } from "./dot.ts";
import type { Memory } from "./memory.ts";
import { LEAST, limitOf } from "./rows.ts";

/** See {@link SumsJob}. True if some x does not fit the f32 path. */
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
    const cu = u ? Math.fround(right!.alpha) * exactDot(x, u) : 0;
    const cv = v ? Math.fround(right!.beta) * exactDot(x, v) : 0;
    memory.bytes.fill(0, target, target + vectorByteLength(n));
    x.forEach((value, e) => {
      if (u && v) value += cv * v[e]! - cu * u[e]!;
      else if (u) value -= cu * u[e]!;
      value *= job.scale;
      const size = Math.abs(value);
      fits &&= size < limitOf(dtype) && (size >= LEAST || size === 0);
      memory.setF64(sums + 8 * e, value);
      memory.setF32(target + 4 * laneOf(dtype, e), value);
    });
  }
  return !fits;
}
