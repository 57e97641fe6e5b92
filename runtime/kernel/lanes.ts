/**
 * The order in which a kernel keeps f32 vectors beside a tile: natural for F32; for 16-bit dtypes each group of eight
 * is its four even elements, then its four odd ones, because that is how eight codes split without shuffles.
 */
import type { FloatDtype } from "../safetensors/dtype.ts";
import type { Address } from "./kernel.ts";

const EVEN_ODD: readonly number[] = [0, 4, 1, 5, 2, 6, 3, 7];

/** Where element `index` of a vector stands, in values from the vector's start. */
export function laneOf(dtype: FloatDtype, index: number): number {
  return dtype === "F32" ? index : (index & ~7) + EVEN_ODD[index & 7]!;
}

/** Writes `values`, f32 `[count, length]`, in lane order, each vector padded with zeros to a multiple of eight. */
export function writeLanes(
  dtype: FloatDtype,
  { buffer }: Uint8Array<ArrayBuffer>,
  address: Address,
  values: Float32Array,
  length: number,
): void {
  if (length === 0) return;
  const padded = Math.ceil(length / 8) * 8;
  const lanes = new Float32Array(buffer, address, (values.length / length) * padded);
  for (let start = 0, lane = 0; start < values.length; start += length, lane += padded) {
    lanes.fill(0, lane + (length & ~7), lane + padded);
    for (let index = 0; index < length; index++) lanes[lane + laneOf(dtype, index)] = values[start + index]!;
  }
}
