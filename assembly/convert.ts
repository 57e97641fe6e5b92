// Arrays from a dtype to f32 and back, both in natural order.
import { decode, encode } from "./element";
import { constant, first, second, storeGroup } from "./group";
import { isF16, isF32 } from "./types";

/** Exact: the bits of infinities and NaNs are moved like any others. */
export function decodeArray<D>(source: usize, length: usize, target: usize): void {
  if (isF32<D>()) return memory.copy(target, source, 4 * length);
  const k0 = constant<D>(0), k1 = constant<D>(1), k7 = isF16<D>() ? constant<D>(7) : k0;
  const exponent = v128.load(CONSTANTS), limit = v128.load(CONSTANTS + 64); // every F16 is below 65520
  for (let groups = length >> 3; groups; --groups) {
    const raw = v128.load(source);
    let x = first<D>(raw, k0, k1, k7), y = second<D>(raw, source, k0, k1);
    if (isF16<D>()) {
      // An infinity or NaN came out as 65536 or more, with the right sign and mantissa: only the exponent is wrong.
      x = v128.or(x, v128.and(exponent, f32x4.ge(f32x4.abs(x), limit)));
      y = v128.or(y, v128.and(exponent, f32x4.ge(f32x4.abs(y), limit)));
    }
    v128.store(target, i32x4.shuffle(x, y, 0, 4, 1, 5));
    v128.store(target, i32x4.shuffle(x, y, 2, 6, 3, 7), 16);
    source += 16;
    target += 32;
  }
  for (length &= 7; length; --length) {
    store<u32>(target, bitsOf<D>(source));
    source += sizeof<D>();
    target += 4;
  }
}

/** An element as f32, by its bits: a signalling NaN must not pass through arithmetic. */
@inline function bitsOf<D>(address: usize): u32 {
  return reinterpret<u32>(decode<D>(address));
}

// Opaque, as those of `group.ts`.
const CONSTANTS = memory.data<u32>([
  0x7f800000, 0x7f800000, 0x7f800000, 0x7f800000, // infinity
  0x7fc00000, 0x7fc00000, 0x7fc00000, 0x7fc00000, // NaN
  0x7f7f8000, 0x7f7f8000, 0x7f7f8000, 0x7f7f8000, // the least number that is infinite as BF16
  0x7fc07fc0, 0x7fc07fc0, 0x7fc07fc0, 0x7fc07fc0, // NaN as BF16
  0x477ff000, 0x477ff000, 0x477ff000, 0x477ff000, // 65520, the least number that is infinite as F16
  0x7e007e00, 0x7e007e00, 0x7e007e00, 0x7e007e00, // NaN as F16
], 16);

/** Rounds to nearest even, NaNs to the canonical one; returns how many finite values became infinite. */
export function encodeArray<D>(source: usize, length: usize, target: usize): u32 {
  const k1 = constant<D>(1), k2 = constant<D>(2), k3 = constant<D>(3), k4 = constant<D>(4);
  const k5 = constant<D>(5), k6 = constant<D>(6);
  const infinity = v128.load(CONSTANTS);
  const large = v128.load(CONSTANTS + (isF16<D>() ? 64 : 32)), minusLarge = f32x4.neg(large);
  const nan = v128.load(CONSTANTS + (isF32<D>() ? 16 : isF16<D>() ? 80 : 48));
  const zero = i32x4.splat(0);
  let overflows = zero; // in lanes
  for (let groups = length >> 3; groups; --groups) {
    let x = v128.load(source), y = v128.load(source, 16);
    const numberX = f32x4.eq(x, x), numberY = f32x4.eq(y, y);
    if (isF32<D>()) {
      v128.store(target, v128.bitselect(x, nan, numberX));
      v128.store(target, v128.bitselect(y, nan, numberY), 16);
    } else {
      // A comparison gives -1 where it holds.
      const sizeX = f32x4.abs(x), sizeY = f32x4.abs(y);
      overflows = i32x4.sub(overflows, i32x4.add(f32x4.ge(sizeX, large), f32x4.ge(sizeY, large)));
      overflows = i32x4.add(overflows, i32x4.add(f32x4.eq(sizeX, infinity), f32x4.eq(sizeY, infinity)));
      // NaNs are zeros to the codec; their codes are put in afterwards.
      x = v128.and(x, numberX), y = v128.and(y, numberY);
      if (isF16<D>()) { // into the codec's range
        x = f32x4.pmax(minusLarge, f32x4.pmin(large, x));
        y = f32x4.pmax(minusLarge, f32x4.pmin(large, y));
      }
      const a = i32x4.shuffle(x, y, 0, 2, 4, 6), b = i32x4.shuffle(x, y, 1, 3, 5, 7);
      storeGroup<D>(target, a, b, k1, k2, k3, k4, k5, k6);
      const numbers = i16x8.narrow_i32x4_s(numberX, numberY);
      v128.store(target, v128.or(v128.load(target), v128.andnot(nan, numbers)));
    }
    source += 32;
    target += 8 * sizeof<D>();
  }
  let total = i32x4.extract_lane(overflows, 0) + i32x4.extract_lane(overflows, 1) +
    i32x4.extract_lane(overflows, 2) + i32x4.extract_lane(overflows, 3);
  for (length &= 7; length; --length) {
    const value = load<f32>(source);
    const size = abs(value);
    if (!isF32<D>() && size >= f32x4.extract_lane(large, 0) && size < Infinity) ++total;
    encode<D>(target, value);
    source += 4;
    target += sizeof<D>();
  }
  return total;
}
