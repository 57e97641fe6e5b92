// One chunk of one row in f64: for coefficients that f32 cannot hold, for infinities and NaNs, for zeros and
// for the smallest numbers. Slow and rare.
//
// Dots have eight strided sums, as in `dots.ts`. The result is rounded to f32 and from there to the dtype; a NaN is
// canonical.
import { decode, encode } from "./element";
import { lane, tileGroup, VECTOR_GROUP, widen } from "./group";
import { TAIL_STRIDE, TAILS, takeTails } from "./tails";
import { isF32 } from "./types";

/** Addresses that are 0 stand for absent vectors; s64 and t64 are in natural order. */
export function exactChunk<D>(
  w: usize, n: usize,
  u: usize, v: usize, alpha: f32, beta: f32,
  p: f32, q: f32, s64: usize, t64: usize,
): void {
  const cu = u ? <f64>alpha * exactDot<D>(w, n, u) : 0;
  const cv = v ? <f64>beta * exactDot<D>(w, n, v) : 0;
  if (cu == 0 && cv == 0 && !s64) return; // nothing changes, as where all is zero
  let e: usize = 0;
  for (; e + 2 <= n; e += 2) {
    const group = (e & ~7) << 2, pair = (e & 7) >> 1, address = w + e * sizeof<D>();
    let right = f64x2.splat(0), left = right;
    if (v) right = f64x2.mul(f64x2.splat(cv), widen<D>(v + group, pair));
    if (u) right = f64x2.sub(right, f64x2.mul(f64x2.splat(cu), widen<D>(u + group, pair)));
    if (t64) left = f64x2.mul(f64x2.splat(q), v128.load(t64 + 8 * e));
    if (s64) left = f64x2.sub(left, f64x2.mul(f64x2.splat(p), v128.load(s64 + 8 * e)));
    const result = f32x4.demote_f64x2_zero(f64x2.add(elements<D>(address, 0), f64x2.add(right, left)));
    encode<D>(address, f32x4.extract_lane(result, 0));
    encode<D>(address + sizeof<D>(), f32x4.extract_lane(result, 1));
  }
  if (e < n) { // the same for the last one of an odd number
    let right: f64 = 0, left: f64 = 0;
    if (v) right = cv * <f64>load<f32>(v + lane<D>(e));
    if (u) right -= cu * <f64>load<f32>(u + lane<D>(e));
    if (t64) left = <f64>q * load<f64>(t64 + 8 * e);
    if (s64) left -= <f64>p * load<f64>(s64 + 8 * e);
    const address = w + e * sizeof<D>();
    encode<D>(address, <f32>(<f64>decode<D>(address) + (right + left)));
  }
}

/** The last n mod 8 elements go by way of TAILS. */
function exactDot<D>(w: usize, n: usize, u: usize): f64 {
  let s0 = f64x2.splat(0), s1 = s0, s2 = s0, s3 = s0;
  for (let left = n; left; left = left < 8 ? 0 : left - 8) {
    if (left < 8) {
      takeTails(w, TAIL_STRIDE, left * sizeof<D>(), 1);
      w = TAILS;
    }
    s0 = f64x2.add(s0, f64x2.mul(elements<D>(w, 0), widen<D>(u, 0)));
    s1 = f64x2.add(s1, f64x2.mul(elements<D>(w, 1), widen<D>(u, 1)));
    s2 = f64x2.add(s2, f64x2.mul(elements<D>(w, 2), widen<D>(u, 2)));
    s3 = f64x2.add(s3, f64x2.mul(elements<D>(w, 3), widen<D>(u, 3)));
    w += tileGroup<D>();
    u += VECTOR_GROUP;
  }
  const halves = f64x2.add(f64x2.add(s0, s2), f64x2.add(s1, s3));
  return f64x2.extract_lane(halves, 0) + f64x2.extract_lane(halves, 1);
}

/** Elements 2·pair and 2·pair + 1 of the tile group at `w`, in f64. */
@inline function elements<D>(w: usize, pair: usize): v128 {
  if (isF32<D>()) return widen<D>(w, pair);
  const address = w + 2 * pair * sizeof<D>();
  return f64x2.replace_lane(f64x2.splat(<f64>decode<D>(address)), 1, <f64>decode<D>(address + sizeof<D>()));
}
