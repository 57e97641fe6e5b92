/**
 * Activations for any golden target, also for those that have none of their own, and what the exact merged matrix makes
 * of them: y = W'x + b, each value within 2⁻²⁴·((8·stages + 8)·A + |y|), A as `boundOf` of applied adapters has it.
 */
import { Random } from "../runtime/kernel/arbitrary.ts";
import { chunkNorms, type Matrix, multiply, transposed } from "../runtime/apply/activations.ts";
import type { Target } from "./compare.ts";

/** Activations of one target. */
export interface DrawnActivation {
  /** f32 `[tokens, in]`. */
  readonly x: Float32Array;
  /** f64 `[tokens, out]`. */
  readonly exact: Float64Array;
  /** How far each value may be off, `[tokens, out]`; meaningless where that is not finite. */
  readonly bound: Float64Array;
}

/** A target's matrices as torch has them, `[out, in]`. */
export function matricesOfTarget(target: Target): { readonly merged: Matrix; readonly base: Matrix } {
  const { shape: [rows, columns], exact, base, fanInFanOut } = target;
  const [outer, inner] = fanInFanOut ? [columns, rows] : [rows, columns];
  const values = (stored: Float64Array) => fanInFanOut ? transposed(stored, rows, columns) : stored;
  return { merged: { outer, inner, values: values(exact) }, base: { outer, inner, values: values(base) } };
}

/** Draws activations. @param bias  b `[out]`. @default none */
export function drawActivation(target: Target, tokenCount: number, bias?: Float64Array): DrawnActivation {
  const { merged, base } = matricesOfTarget(target);
  const random = new Random(merged.inner);
  for (let i = 0; i < 8; i++) random.bits();
  // Weights at the end of their range: the products must not leave f32's.
  const scale = target.base.some((w) => Math.abs(w) > 1e30) ? 2 ** -20 : 1;
  const x = Float32Array.from({ length: tokenCount * merged.inner }, () => random.normal() * scale);
  const exact = multiply(merged, x).map((value, i) => value + (bias?.[i % merged.outer] ?? 0));
  const lost = chunkNorms(Float64Array.from(x, Math.abs), merged.inner, target.inputBlocks);
  const reached = multiply({ ...base, values: base.values.map(Math.abs) }, lost);
  const amplitude = chunkNorms(reached, merged.outer, target.outputBlocks);
  const bound = amplitude.map((a, i) => 2 ** -24 * ((8 * target.stages + 8) * a + Math.abs(exact[i]!)));
  return { x, exact, bound };
}

/** The first value of an output `[tokens, out]` that is beyond the bound, in words; undefined if none is. */
export function outputBeyondBound(y: Float32Array, { exact, bound }: DrawnActivation): string | undefined {
  const at = exact.findIndex((value, i) => {
    // Where a weight is not finite, what it reaches is not either, and nothing else is said.
    if (!Number.isFinite(value)) return Number.isFinite(y[i]!);
    return Number.isFinite(bound[i]!) && !(Math.abs(y[i]! - value) <= bound[i]!);
  });
  return at < 0 ? undefined : `y[${at}] is ${y[at]} instead of ${exact[at]} ± ${bound[at]}`;
}
