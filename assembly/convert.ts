// Arrays from a dtype to f32 and back, both in natural order.
import { decode, encode } from "./element";
import { constant, first, second, storeGroup } from "./group";
import { isF16, isF32 } from "./types";

/** Exact: the bits of infinities and NaNs are moved like any others. */
export function decodeArray<D>(source: usize, length: usize, target: usize): void {
  if (isF32<D>()) return memory.copy(target, source, 4 * length);
  const k0 = constant<D>(0), k1 = constant<D>(1), k10 = isF16<D>() ? constant<D>(10) : k0;
  const exponent = constant<D>(3), limit = f32x4.splat(65536);
  for (let groups = length >> 3; groups; --groups) {
    const raw = v128.load(source);
    let x = first<D>(raw, k0, k1, k10), y = second<D>(raw, source, k0, k1);
    if (isF16<D>()) {
      // An infinity or NaN came out as 65536 or more, with the right sign and mantissa: its exponent is missing.
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

/** Rounds to nearest even, NaNs to the canonical one; returns how many finite values became infinite. */
export function encodeArray<D>(source: usize, length: usize, target: usize): u32 {
  const k1 = constant<D>(1), k2 = constant<D>(2), k3 = constant<D>(3), k4 = constant<D>(4);
  const k5 = constant<D>(5), k6 = constant<D>(6), k7 = constant<D>(7), k8 = constant<D>(8);
  const k9 = constant<D>(9);
  // In bits without the sign: the least value that rounds to infinity, less one; and infinity.
  const size = i32x4.splat(0x7fffffff), infinity = i32x4.splat(0x7f800000);
  const largest = i32x4.splat(isF16<D>() ? 0x477fefff : 0x7f7f7fff);
  const zero = i32x4.splat(0);
  let overflows = zero;
  for (let groups = length >> 3; groups; --groups) {
    const x = v128.load(source), y = v128.load(source, 16);
    const sizeX = v128.and(x, size), sizeY = v128.and(y, size);
    const nanX = i32x4.gt_s(sizeX, infinity), nanY = i32x4.gt_s(sizeY, infinity);
    if (isF32<D>()) {
      const nan = i32x4.splat(0x7fc00000);
      v128.store(target, v128.bitselect(nan, x, nanX));
      v128.store(target, v128.bitselect(nan, y, nanY), 16);
    } else {
      overflows = i32x4.sub(overflows, v128.and(i32x4.gt_s(sizeX, largest), i32x4.lt_s(sizeX, infinity)));
      overflows = i32x4.sub(overflows, v128.and(i32x4.gt_s(sizeY, largest), i32x4.lt_s(sizeY, infinity)));
      // NaNs are zeros to the codec, and their codes are put in afterwards.
      let realX = v128.andnot(x, nanX), realY = v128.andnot(y, nanY);
      if (isF16<D>()) { // the codec's range
        realX = f32x4.pmax(f32x4.pmin(realX, f32x4.splat(65536)), f32x4.splat(-65536));
        realY = f32x4.pmax(f32x4.pmin(realY, f32x4.splat(65536)), f32x4.splat(-65536));
      }
      const a = i32x4.shuffle(realX, realY, 0, 2, 4, 6), b = i32x4.shuffle(realX, realY, 1, 3, 5, 7);
      storeGroup<D>(target, a, b, k1, k2, k3, k4, k5, k6, k7, k8, k9);
      const nans = i16x8.narrow_i32x4_s(nanX, nanY);
      const nan = i16x8.splat(isF16<D>() ? 0x7e00 : 0x7fc0);
      v128.store(target, v128.or(v128.load(target), v128.and(nans, nan)));
    }
    source += 32;
    target += 8 * sizeof<D>();
  }
  let total = i32x4.extract_lane(overflows, 0) + i32x4.extract_lane(overflows, 1) +
    i32x4.extract_lane(overflows, 2) + i32x4.extract_lane(overflows, 3);
  for (length &= 7; length; --length) {
    const value = load<f32>(source);
    const bits = reinterpret<u32>(value) & 0x7fffffff;
    if (!isF32<D>() && bits > <u32>(isF16<D>() ? 0x477fefff : 0x7f7f7fff) && bits < 0x7f800000) ++total;
    encode<D>(target, value);
    source += 4;
    target += sizeof<D>();
  }
  return total;
}
