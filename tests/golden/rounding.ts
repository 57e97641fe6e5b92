/** The float dtypes as number lines: their spacing, and rounding to nearest even, straight from f64. */
import type { FloatDtype } from "../../runtime/safetensors/dtype.ts";

interface NumberLine {
  /** Bits of the significand, the hidden one included. */
  readonly precision: number;
  /** The distance between neighbours near zero. */
  readonly subnormalStep: number;
  readonly largest: number;
}

const NUMBER_LINES: Readonly<Record<FloatDtype, NumberLine>> = {
  F32: { precision: 24, subnormalStep: 2 ** -149, largest: (2 - 2 ** -23) * 2 ** 127 },
  F16: { precision: 11, subnormalStep: 2 ** -24, largest: 65504 },
  BF16: { precision: 8, subnormalStep: 2 ** -133, largest: (2 - 2 ** -7) * 2 ** 127 },
};

const view = new DataView(new ArrayBuffer(8));

/** The distance between neighbours of `dtype` in the binade of `x`, which is finite. */
export function ulp(dtype: FloatDtype, x: number): number {
  const { precision, subnormalStep } = NUMBER_LINES[dtype];
  view.setFloat64(0, x);
  const exponent = ((view.getUint16(0) >> 4) & 0x7ff) - 1023;
  return Math.max(2 ** (exponent - precision + 1), subnormalStep);
}

/** The value of `dtype` nearest to `x`; of two, the even one; an infinity where that lies beyond the largest. */
export function roundTo(dtype: FloatDtype, x: number): number {
  if (!Number.isFinite(x)) return x;
  const step = ulp(dtype, x);
  const steps = Math.abs(x) / step; // exact, below 2^24
  // Adding 2^52 leaves no room for a fraction: the sum is rounded to an integer, to nearest even.
  const rounded = ((steps + 2 ** 52) - 2 ** 52) * step;
  const magnitude = rounded > NUMBER_LINES[dtype].largest ? Infinity : rounded;
  return x < 0 || Object.is(x, -0) ? -magnitude : magnitude;
}
