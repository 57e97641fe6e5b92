/** Single jobs of the primitives, noted and ready for the device. */
import { type RightReflection, vectorByteLength } from "../../../runtime/kernel/kernel.ts";
import { elementByteLength, type FloatDtype } from "../../../runtime/safetensors/dtype.ts";
import type { WebGpuKernel } from "../../../runtime/webgpu/kernel.ts";

const ALIGNMENT = 256;

/** Notes w ← w + s for a row w of codes. @returns what reads the row */
export function noteAddition(
  kernel: WebGpuKernel,
  dtype: FloatDtype,
  codes: ArrayLike<number>,
  s: Float32Array,
): () => number[] {
  const columns = s.length;
  const tile = kernel.base;
  const vector = behind(tile, 4 * columns);
  const p = behind(vector, vectorByteLength(columns));
  kernel.reserve(behind(p, 4));
  const { read, rowStride } = writeCodes(kernel, dtype, tile, codes);
  kernel.writeVectors(dtype, vector, s, columns);
  new Float32Array(kernel.bytes.buffer, p, 1)[0] = -1;
  kernel.transformRows({
    ...{ dtype, tile, rowCount: 1, rowStride, chunkCount: 1, chunkLength: columns, right: null },
    left: { p, q: 0, s: vector, t: 0, s64: vector, t64: 0, exact: false },
  });
  return read;
}

/** Notes w ← w − alpha·(w·û)û for a row w of codes. @returns what reads the row */
export function noteReflection(
  kernel: WebGpuKernel,
  dtype: FloatDtype,
  codes: ArrayLike<number>,
  unit: Float32Array,
  alpha: number,
): () => number[] {
  const columns = unit.length;
  const tile = kernel.base;
  const u = behind(tile, 4 * columns);
  kernel.reserve(behind(u, vectorByteLength(columns)));
  const { read, rowStride } = writeCodes(kernel, dtype, tile, codes);
  kernel.writeVectors(dtype, u, unit, columns);
  const right: RightReflection = { u, v: 0, vectorStride: 0, alpha, beta: 0 };
  kernel.transformRows({
    ...{ dtype, tile, rowCount: 1, rowStride, chunkCount: 1, chunkLength: columns, right, left: null },
  });
  return read;
}

/** Notes Σᵢ p[i]·w[i] of a column w of codes, and the same for q. @returns what reads the sums */
export function noteSums(
  kernel: WebGpuKernel,
  dtype: FloatDtype,
  codes: ArrayLike<number>,
  p: Float32Array,
  q: Float32Array | null,
): () => number[] {
  const rowCount = p.length;
  const tile = kernel.base;
  const [pPlace, qPlace] = [behind(tile, 4 * rowCount), behind(tile, 8 * rowCount + ALIGNMENT)];
  const sums = behind(qPlace, 4 * rowCount);
  const scratch = behind(sums, 16);
  kernel.reserve(behind(scratch, 2 * vectorByteLength(1)));
  const { buffer } = kernel.bytes;
  writeCodes(kernel, dtype, tile, codes);
  new Float32Array(buffer, pPlace).set(p);
  if (q !== null) new Float32Array(buffer, qPlace).set(q);
  new Float64Array(buffer, sums, 2).fill(0);
  kernel.reduceRows({
    ...{ dtype, tile, rowCount, rowStride: elementByteLength(dtype), columnCount: 1, p: pPlace, pSums: sums, scratch },
    ...q === null ? { q: 0, qSums: 0 } : { q: qPlace, qSums: sums + 8 },
  });
  return () => [...new Float64Array(kernel.bytes.buffer, sums, q === null ? 1 : 2)];
}

/** Notes A·B for A `[1, k]` and B `[k, 1]`. @returns what reads the product */
export function noteProduct(kernel: WebGpuKernel, a: Float32Array, b: Float32Array): () => number {
  const k = a.length;
  const aPlace = kernel.base;
  const bPlace = behind(aPlace, 4 * k);
  const c = behind(bPlace, 4 * k);
  kernel.reserve(behind(c, 4));
  new Float32Array(kernel.bytes.buffer, aPlace).set(a);
  new Float32Array(kernel.bytes.buffer, bPlace).set(b);
  kernel.matmul({ a: aPlace, aStride: 4 * k, b: bPlace, bStride: 4, c, cStride: 4, m: 1, k, n: 1 });
  return () => new Float32Array(kernel.bytes.buffer, c, 1)[0]!;
}

function writeCodes(kernel: WebGpuKernel, dtype: FloatDtype, tile: number, codes: ArrayLike<number>) {
  const Codes = elementByteLength(dtype) === 4 ? Uint32Array : Uint16Array;
  new Codes(kernel.bytes.buffer, tile, codes.length).set(codes);
  const read = () => [...new Codes(kernel.bytes.buffer, tile, codes.length)];
  return { read, rowStride: codes.length * elementByteLength(dtype) };
}

/** The next aligned address behind some bytes. */
function behind(address: number, byteLength: number): number {
  return Math.ceil((address + byteLength) / ALIGNMENT) * ALIGNMENT;
}
