/** One element of each float dtype, as the value that its code stands for. Rounding is to nearest even. */
import type { FloatDtype } from "../safetensors/dtype.ts";

const FLOAT = new Float32Array(1);
const BITS = new Uint32Array(FLOAT.buffer);

/** The f32 bits of a 16-bit code: exact, NaN payloads included. */
export function bitsOfCode(dtype: "BF16" | "F16", code: number): number {
  if (dtype === "BF16") return (code << 16) >>> 0;
  const sign = ((code & 0x8000) << 16) >>> 0;
  const exponent = (code >> 10) & 31;
  const mantissa = code & 0x3ff;
  if (exponent === 31) return (sign | 0x7f800000 | (mantissa << 13)) >>> 0;
  if (exponent === 0) return (sign | bitsOf(mantissa * 2 ** -24)) >>> 0;
  return (sign | ((exponent + 112) << 23) | (mantissa << 13)) >>> 0;
}

/** The code nearest to an f32 value; for F32 that is its bits. Every NaN becomes the one canonical NaN. */
export function codeOf(dtype: FloatDtype, value: number): number {
  if (Number.isNaN(value)) return dtype === "F32" ? 0x7fc00000 : dtype === "F16" ? 0x7e00 : 0x7fc0;
  const bits = bitsOf(value);
  if (dtype === "F32") return bits;
  if (dtype === "BF16") return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;

  const sign = (bits >>> 16) & 0x8000;
  const size = Math.abs(value);
  if (size >= 65520) return sign | 0x7c00;
  // An F16 of this exponent (or a subnormal, all of which share one) is a whole number of steps.
  const exponent = Math.max((bits >>> 23) & 255, 113);
  const step = valueOf((exponent - 10) << 23);
  return sign | (((exponent - 113) << 10) + roundToEven(size / step));
}

/** The bits of an f32 value. */
export function bitsOf(value: number): number {
  FLOAT[0] = value;
  return BITS[0]!;
}

/** The f32 value of some bits. */
export function valueOf(bits: number): number {
  BITS[0] = bits;
  return FLOAT[0]!;
}

/** The nearest whole number, for 0 ≤ x < 2^51: the sum's last place is 1. */
function roundToEven(x: number): number {
  return (x + 2 ** 52) - 2 ** 52;
}
