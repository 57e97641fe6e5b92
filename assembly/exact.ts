// One chunk of one row in f64: for coefficients that f32 cannot hold, and for infinities and NaNs. Slow and rare.
//
// Sums run in plain increasing order. The result is rounded to f32 and from there to the dtype; a NaN is canonical.
import { decode, encode } from "./element";
import { lane } from "./group";

/** Addresses that are 0 stand for absent vectors; s64 and t64 are in natural order. */
export function exactChunk<D>(
  w: usize, n: usize,
  u: usize, v: usize, alpha: f32, beta: f32,
  p: f32, q: f32, s64: usize, t64: usize,
): void {
  const cu = u ? <f64>alpha * exactDot<D>(w, n, u) : 0;
  const cv = v ? <f64>beta * exactDot<D>(w, n, v) : 0;
  for (let e: usize = 0; e < n; ++e) {
    let right: f64 = 0, left: f64 = 0;
    if (v) right = cv * <f64>load<f32>(v + lane<D>(e));
    if (u) right -= cu * <f64>load<f32>(u + lane<D>(e));
    if (t64) left = <f64>q * load<f64>(t64 + 8 * e);
    if (s64) left -= <f64>p * load<f64>(s64 + 8 * e);
    const address = w + e * sizeof<D>();
    encode<D>(address, <f32>(<f64>decode<D>(address) + (right + left)));
  }
}

function exactDot<D>(w: usize, n: usize, u: usize): f64 {
  let sum: f64 = 0;
  for (let e: usize = 0; e < n; ++e) sum += <f64>decode<D>(w + e * sizeof<D>()) * <f64>load<f32>(u + lane<D>(e));
  return sum;
}
