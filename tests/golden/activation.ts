/** A linear layer in f64, and how far its outputs may be off when its weight was merged. */
import type { GoldenActivation } from "./cases.ts";
import { type Target, tolerance } from "./compare.ts";

/** y[o, t] = Σ_i W[o, i]·x[i, t] + b[o], for W `[out, in]`, x `[in, tokenCount]`, b `[out]`. */
export function linear(weight: Float64Array, x: Float64Array, tokenCount: number, bias?: Float64Array): Float64Array {
  const inner = x.length / tokenCount;
  const outer = weight.length / inner;
  const y = new Float64Array(outer * tokenCount);
  for (let o = 0; o < outer; o++) {
    for (let t = 0; t < tokenCount; t++) {
      let sum = bias?.[o] ?? 0;
      for (let i = 0; i < inner; i++) sum += weight[o * inner + i]! * x[i * tokenCount + t]!;
      y[o * tokenCount + t] = sum;
    }
  }
  return y;
}

/** The first output that is farther off than the tolerance of the weights allows, in words; undefined if none is. */
export function outputBeyondTolerance(
  got: Float64Array,
  { x, y, tokenCount }: GoldenActivation,
  target: Target,
): string | undefined {
  // What the weights may be off by, times |x|, is what y may be off by; the f64 sums add next to nothing.
  const bound = linear(tolerance(target), x.map(Math.abs), tokenCount);
  const at = y.findIndex((exact, i) => !(Math.abs(got[i]! - exact) <= bound[i]! + 1e-13 * Math.abs(exact)));
  return at < 0 ? undefined : `y[${at}] is ${got[at]} instead of ${y[at]} ± ${bound[at]}`;
}
