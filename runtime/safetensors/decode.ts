import type { FloatDtype } from "./dtype.ts";

/**
 * Widens little-endian F32, F16 or BF16 values to f32, exactly: for small tensors; tiles go through a kernel.
 *
 * @param values where they go; `bytes` may be its own last bytes: each value is read before its place is written
 */
export function widenToFloat32(dtype: FloatDtype, bytes: Uint8Array<ArrayBuffer>, values: Float32Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (dtype === "F32") {
    for (let i = 0; i < values.length; i++) values[i] = view.getFloat32(4 * i, true);
  } else if (dtype === "BF16") {
    for (let i = 0; i < values.length; i++) values[i] = bfloat16ToNumber(view.getUint16(2 * i, true));
  } else {
    for (let i = 0; i < values.length; i++) values[i] = halfToNumber(view.getUint16(2 * i, true));
  }
}

const word = new DataView(new ArrayBuffer(4));

/** A bf16 is the upper half of an f32. */
function bfloat16ToNumber(bits: number): number {
  word.setUint32(0, bits << 16);
  return word.getFloat32(0);
}

/** IEEE binary16, which not every host's DataView reads. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}
