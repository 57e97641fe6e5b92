// The kernel's exports: one function per primitive, with the dtype as a number; `runtime/kernel/kernel.ts` documents
// them. No imports. The module's own constants and scratch lie below `base`.
import { decodeArray, encodeArray } from "./convert";
import { matmulF32 } from "./matmul";
import { reduce } from "./reduce";
import { transform } from "./rows";
import { prepare } from "./sums";
import { BF16, F16, F32 } from "./types";

export { copyBytes, scalarRowsBF16 } from "./baseline";

const DTYPE_F32 = 0;
const DTYPE_BF16 = 1;

/** The first free address, a multiple of 64. */
export function base(): usize {
  return (__heap_base + 63) & ~63;
}

export function transformRows(
  dtype: i32, tile: usize, rowCount: usize, rowStride: usize, chunkCount: usize, chunkLength: usize,
  u: usize, v: usize, vectorStride: usize, alpha: f32, beta: f32,
  p: usize, q: usize, s: usize, t: usize, s64: usize, t64: usize, exact: bool,
): void {
  if (dtype == DTYPE_F32) {
    transform<F32>(
      tile, rowCount, rowStride, chunkCount, chunkLength, u, v, vectorStride, alpha, beta, p, q, s, t, s64, t64, exact,
    );
  } else if (dtype == DTYPE_BF16) {
    transform<BF16>(
      tile, rowCount, rowStride, chunkCount, chunkLength, u, v, vectorStride, alpha, beta, p, q, s, t, s64, t64, exact,
    );
  } else {
    transform<F16>(
      tile, rowCount, rowStride, chunkCount, chunkLength, u, v, vectorStride, alpha, beta, p, q, s, t, s64, t64, exact,
    );
  }
}

export function reduceRows(
  dtype: i32, tile: usize, rowCount: usize, rowStride: usize, columnCount: usize,
  p: usize, q: usize, pSums: usize, qSums: usize, scratch: usize,
): void {
  if (dtype == DTYPE_F32) reduce<F32>(tile, rowCount, rowStride, columnCount, p, q, pSums, qSums, scratch);
  else if (dtype == DTYPE_BF16) reduce<BF16>(tile, rowCount, rowStride, columnCount, p, q, pSums, qSums, scratch);
  else reduce<F16>(tile, rowCount, rowStride, columnCount, p, q, pSums, qSums, scratch);
}

export function prepareSums(
  dtype: i32, sums: usize, chunkCount: usize, chunkLength: usize,
  u: usize, v: usize, vectorStride: usize, alpha: f32, beta: f32, scale: f64, target: usize,
): bool {
  if (dtype == DTYPE_F32) {
    return prepare<F32>(sums, chunkCount, chunkLength, u, v, vectorStride, alpha, beta, scale, target);
  } else if (dtype == DTYPE_BF16) {
    return prepare<BF16>(sums, chunkCount, chunkLength, u, v, vectorStride, alpha, beta, scale, target);
  }
  return prepare<F16>(sums, chunkCount, chunkLength, u, v, vectorStride, alpha, beta, scale, target);
}

export function matmul(
  a: usize, aStride: usize, b: usize, bStride: usize, c: usize, cStride: usize, m: usize, k: usize, n: usize,
): void {
  matmulF32(a, aStride, b, bStride, c, cStride, m, k, n);
}

export function decode(dtype: i32, source: usize, count: usize, target: usize): void {
  if (dtype == DTYPE_F32) decodeArray<F32>(source, count, target);
  else if (dtype == DTYPE_BF16) decodeArray<BF16>(source, count, target);
  else decodeArray<F16>(source, count, target);
}

export function encode(dtype: i32, source: usize, count: usize, target: usize): u32 {
  if (dtype == DTYPE_F32) return encodeArray<F32>(source, count, target);
  if (dtype == DTYPE_BF16) return encodeArray<BF16>(source, count, target);
  return encodeArray<F16>(source, count, target);
}
