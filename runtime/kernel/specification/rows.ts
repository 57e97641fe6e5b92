/** w ← w + right + left for each chunk w of each row: {@link transformRows}. */
import { elementByteLength, type FloatDtype } from "../../safetensors/dtype.ts";
import { type RowsJob, vectorByteLength } from "../kernel.ts";
import { dot, exactDot } from "./dot.ts";
import type { Memory } from "./memory.ts";

/**
 * Coefficients must stay below this to take the f32 path: 2^125, so that four products can be added; for F16 2^40, far
 * beyond any sum of its numbers.
 */
export function limitOf(dtype: FloatDtype): number {
  return dtype === "F16" ? 2 ** 40 : 2 ** 125;
}

/**
 * Sums must not be below this to take the f32 path. A product of f32 below 2^-126 loses digits, each time up to half of
 * F32's smallest step; here and above that is nothing beside the rounding of the sums. F16 and BF16, whose steps are far
 * larger, could do without, but should get the bytes that they get when they are decoded to F32 first.
 */
export const LEAST = 2 ** -100;

/** What one row's chunk needs; absent vectors are undefined. */
interface Chunk {
  readonly limit: number;
  readonly w: Float32Array;
  readonly u: Float32Array | undefined;
  readonly v: Float32Array | undefined;
  readonly alpha: number;
  readonly beta: number;
  readonly p: number;
  readonly q: number;
  readonly s: Float32Array | undefined;
  readonly t: Float32Array | undefined;
  readonly s64: Float64Array | undefined;
  readonly t64: Float64Array | undefined;
}

/** See {@link RowsJob}. Without a right part the elements must be finite, or `left.exact` set. */
export function transformRows(memory: Memory, job: RowsJob): void {
  if (!job.right && !job.left) return;
  const { dtype, chunkLength: n, right, left } = job;
  const elementBytes = elementByteLength(dtype);
  for (let row = 0; row < job.rowCount; row++) {
    for (let index = 0; index < job.chunkCount; index++) {
      const address = job.tile + row * job.rowStride + index * n * elementBytes;
      const vector = (start: number | undefined, stride: number) =>
        start ? memory.vector(dtype, start + index * stride, n) : undefined;
      const doubles = (start: number | undefined) => start ? memory.doubles(start + index * n * 8, n) : undefined;
      const chunk: Chunk = {
        limit: limitOf(dtype),
        w: memory.elements(dtype, address, n),
        u: vector(right?.u, right?.vectorStride ?? 0),
        v: vector(right?.v, right?.vectorStride ?? 0),
        alpha: Math.fround(right?.alpha ?? 0),
        beta: Math.fround(right?.beta ?? 0),
        p: left ? memory.f32(left.p + 4 * row) : 0,
        q: left?.q ? memory.f32(left.q + 4 * row) : 0,
        s: vector(left?.s, vectorByteLength(n)),
        t: vector(left?.q ? left.t : 0, vectorByteLength(n)),
        s64: doubles(left?.s64),
        t64: doubles(left?.q ? left.t64 : 0),
      };
      const result = (left?.exact ? undefined : transform(chunk)) ?? transformExactly(chunk);
      result.forEach((value, e) => memory.setElement(dtype, address + e * elementBytes, value));
    }
  }
}

/** The f32 path. Undefined where a sum or coefficient does not fit it: also where an element is not finite. */
function transform({ limit, w, u, v, alpha, beta, p, q, s, t }: Chunk): Float32Array | undefined {
  const du = u ? dot(w, u) : 0;
  const cu = Math.fround(alpha * du);
  const cv = v ? Math.fround(beta * dot(w, v)) : 0;
  if (!(Math.abs(cu) < limit && Math.abs(cv) < limit)) return undefined;
  // A sum that is large enough vouches for its chunk: no need to look at the other one too.
  if (u && Math.abs(du) < LEAST) return undefined;

  /** a·x − b·y. */
  const difference = (a: number, x: number, b: number, y: number) =>
    Math.fround(Math.fround(a * x) - Math.fround(b * y));
  // Where one side has two vectors and the other one, that one counts twice, the second time with coefficient 0.
  const right = (e: number) => difference(cv, (v ?? u!)[e]!, cu, u![e]!);
  const left = (e: number) => difference(q, (t ?? s!)[e]!, p, s![e]!);
  const pair = v !== undefined || t !== undefined;

  return w.map((x, e) => {
    if (u && s) {
      return pair
        ? x + Math.fround(right(e) + left(e))
        : x - Math.fround(Math.fround(cu * u[e]!) + Math.fround(p * s[e]!));
    }
    if (u) return pair ? x + right(e) : x - Math.fround(cu * u[e]!);
    if (s) return pair ? x + left(e) : x - Math.fround(p * s[e]!);
    return x;
  });
}

/** The f64 path. The result is rounded to f32, and from there to the dtype. */
function transformExactly({ w, u, v, alpha, beta, p, q, s64, t64 }: Chunk): Float32Array {
  const cu = u ? alpha * exactDot(w, u) : 0;
  const cv = v ? beta * exactDot(w, v) : 0;
  if (cu === 0 && cv === 0 && !s64) return w; // nothing changes, as where all is zero
  return w.map((x, e) => {
    const right = (v ? cv * v[e]! : 0) - (u ? cu * u[e]! : 0);
    const left = (t64 ? q * t64[e]! : 0) - (s64 ? p * s64[e]! : 0);
    return x + (right + left);
  });
}
