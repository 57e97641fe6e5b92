/** What the tests know about dtypes by themselves: written from the formats' definitions, in f64, without bit tricks. */
import type { Address, Kernel } from "../../../runtime/kernel/kernel.ts";
import { elementByteLength, type FloatDtype } from "../../../runtime/safetensors/dtype.ts";

/** Significant bits, the least normal exponent, and the largest finite value. */
const FORMAT = {
  F32: { precision: 24, minExponent: -126, max: 3.4028234663852886e38 },
  BF16: { precision: 8, minExponent: -126, max: 3.3895313892515355e38 },
  F16: { precision: 11, minExponent: -14, max: 65504 },
} as const;

/** The value of a 16-bit code: (-1)^sign · 2^exponent · mantissa. */
export function valueOfCode(dtype: "BF16" | "F16", code: number): number {
  const { precision, minExponent } = FORMAT[dtype];
  const mantissaBits = precision - 1;
  const sign = code >= 32768 ? -1 : 1;
  const exponent = Math.floor((code % 32768) / 2 ** mantissaBits);
  const mantissa = code % 2 ** mantissaBits;
  if (exponent === 2 ** (15 - mantissaBits) - 1) return mantissa === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * mantissa * 2 ** (minExponent - mantissaBits);
  return sign * (1 + mantissa * 2 ** -mantissaBits) * 2 ** (exponent - 1 + minExponent);
}

/** The distance between neighbours at x, never below the subnormal step. */
export function ulp(dtype: FloatDtype, x: number): number {
  const { precision, minExponent } = FORMAT[dtype];
  const exponent = x === 0 ? minExponent : Math.max(minExponent, floorLog2(Math.abs(x)));
  return 2 ** (exponent - precision + 1);
}

/** x, any f64, rounded once to the nearest value of the dtype, ties to even. */
export function round(dtype: FloatDtype, x: number): number {
  if (!Number.isFinite(x) || x === 0) return x;
  const step = ulp(dtype, x);
  const steps = Math.abs(x) / step;
  const below = Math.floor(steps);
  const rest = steps - below;
  const nearest = below + (rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? 1 : 0);
  const rounded = nearest * step;
  return Math.sign(x) * (rounded > FORMAT[dtype].max ? Infinity : rounded);
}

/** Elements of a kernel's memory, as values. */
export function valuesOf(kernel: Kernel, dtype: FloatDtype, address: Address, count: number): number[] {
  const view = new DataView(kernel.bytes.buffer, address, count * elementByteLength(dtype));
  return Array.from({ length: count }, (_, index) => {
    if (dtype === "F32") return view.getFloat32(4 * index, true);
    return valueOfCode(dtype, view.getUint16(2 * index, true));
  });
}

function floorLog2(x: number): number {
  let exponent = Math.floor(Math.log2(x));
  while (2 ** exponent > x) exponent--;
  while (2 ** (exponent + 1) <= x) exponent++;
  return exponent;
}
