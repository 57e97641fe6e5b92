/** C = A·B: {@link multiply}. */
import type { MatmulJob } from "../kernel.ts";
import type { Memory } from "./memory.ts";
import { LEAST } from "./rows.ts";

const SEGMENT = 64;

/** See {@link MatmulJob}. */
export function multiply(memory: Memory, job: MatmulJob): void {
  for (let i = 0; i < job.m; i++) {
    const a = memory.elements("F32", job.a + i * job.aStride, job.k);
    const column = (j: number) => Float32Array.from(a, (_, k) => memory.f32(job.b + k * job.bStride + 4 * j));
    for (let j = 0; j < job.n; j++) {
      const inF32 = dot(a, column(j));
      const fits = Number.isFinite(inF32) && Math.abs(inF32) >= LEAST;
      memory.setF32(job.c + i * job.cStride + 4 * j, fits ? inF32 : exactDot(a, column(j)));
    }
  }
}

/** Σ a[k]·b[k] in f32: a chain over each segment of 64, whose sums are added in order. */
function dot(a: Float32Array, b: Float32Array): number {
  let total = 0;
  for (let start = 0; start < a.length; start += SEGMENT) {
    let partial = 0;
    for (let k = start; k < Math.min(start + SEGMENT, a.length); k++) {
      partial = Math.fround(partial + Math.fround(a[k]! * b[k]!));
    }
    total = Math.fround(total + partial);
  }
  return total;
}

/** The same in f64, in increasing order; the caller rounds once. */
function exactDot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, k) => sum + value * b[k]!, 0);
}
