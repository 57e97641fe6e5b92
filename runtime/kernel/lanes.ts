/**
 * The order in which a kernel keeps f32 vectors beside a tile: natural for F32; for 16-bit dtypes each group of eight
 * is its four even elements, then its four odd ones, because that is how eight codes split without shuffles.
 */
import type { FloatDtype } from "../safetensors/dtype.ts";

const EVEN_ODD: readonly number[] = [0, 4, 1, 5, 2, 6, 3, 7];

/** Where element `index` of a vector stands, in values from the vector's start. */
export function laneOf(dtype: FloatDtype, index: number): number {
  return dtype === "F32" ? index : (index & ~7) + EVEN_ODD[index & 7]!;
}

/** `values`, f32 `[count, length]`, in lane order, each vector padded with zeros to a multiple of eight. */
export function toLanes(dtype: FloatDtype, values: Float32Array, length: number): Float32Array<ArrayBuffer> {
  const count = length === 0 ? 0 : values.length / length;
  const padded = Math.ceil(length / 8) * 8;
  const lanes = new Float32Array(count * padded);
  for (let vector = 0; vector < count; vector++) {
    for (let index = 0; index < length; index++) {
      lanes[vector * padded + laneOf(dtype, index)] = values[vector * length + index]!;
    }
  }
  return lanes;
}
