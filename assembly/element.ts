// One element of a tile, for tails and for the f64 paths. Infinities and NaNs are decoded as they are.
import { isF16, isF32 } from "./types";

@inline export function decode<D>(address: usize): f32 {
  if (isF32<D>()) return load<f32>(address);
  const code = <u32>load<u16>(address);
  if (isF16<D>()) return f32FromF16(code);
  return reinterpret<f32>(code << 16);
}

/** Rounds to nearest even; every NaN becomes the one canonical NaN. */
@inline export function encode<D>(address: usize, value: f32): void {
  if (isF32<D>()) store<u32>(address, value == value ? reinterpret<u32>(value) : 0x7fc00000);
  else if (isF16<D>()) store<u16>(address, value == value ? f16FromF32(value) : 0x7e00);
  else store<u16>(address, value == value ? bf16FromF32(value) : 0x7fc0);
}

// The exponent is re-biased by a multiplication, which normalises subnormals too; `group.ts` does the same in lanes.
function f32FromF16(code: u32): f32 {
  if ((code & 0x7c00) == 0x7c00) return reinterpret<f32>(((code & 0x8000) << 16) | 0x7f800000 | ((code & 0x3ff) << 13));
  return reinterpret<f32>((<i32>(code << 16) >> 3) & 0x8fffe000) * reinterpret<f32>(0x77800000); // · 2^112
}

function bf16FromF32(value: f32): u32 {
  const bits = reinterpret<u32>(value);
  return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

// `group.ts` explains the trick.
function f16FromF32(value: f32): u32 {
  const size = min(abs(value), <f32>65536);
  const exponent = max(reinterpret<u32>(size) & 0x7f800000, 113 << 23);
  const ruler = exponent + (13 << 23);
  const marks = reinterpret<u32>(size + reinterpret<f32>(ruler)) - ruler;
  return (marks + (exponent >> 13) - (113 << 10)) | ((reinterpret<u32>(value) >> 16) & 0x8000);
}
