/**
 * The project's promise about a merged element, as a comparison: with T the dtype and A the {@link amplitude},
 *
 *     |got − exact| ≤ 0.505·ulp_T(exact) + stages·8·2⁻²⁴·A
 *
 * An infinity or a NaN must be one exactly where the correctly rounded result is; a NaN's bits are not compared.
 */
import type { FloatDtype } from "../../runtime/safetensors/dtype.ts";
import { decodeFloat64 } from "../../fixtures/decode.ts";
import { amplitude, type TransformedMatrix } from "./amplitude.ts";
import { roundTo, ulp } from "./rounding.ts";

/** A target tensor: what it was, how it was transformed, and what it must be. */
export interface Target extends TransformedMatrix {
  readonly dtype: FloatDtype;
  /** The values before, `[rows · columns]`. */
  readonly base: Float64Array;
  /** The exact result, `[rows · columns]`. */
  readonly exact: Float64Array;
  /** How many adapters were composed. */
  readonly stages: number;
}

/** An element that breaks the promise. */
export interface Failure {
  readonly row: number;
  readonly column: number;
  readonly got: number;
  readonly exact: number;
  readonly bound: number;
}

/** The verdict about one tensor. */
export interface Comparison {
  readonly elementCount: number;
  /** Elements that equal the exact result, rounded once to nearest even. */
  readonly correctlyRoundedCount: number;
  /** The largest error in units of its own bound; at most 1 where nothing failed. */
  readonly worstRatio: number;
  /** How many elements broke the promise, and the first few of them. */
  readonly failureCount: number;
  readonly failures: readonly Failure[];
}

const FAILURES_SHOWN = 5;

/** Compares the bytes of a merged tensor with its exact result. */
export function compareTensor(got: Uint8Array<ArrayBuffer>, target: Target): Comparison {
  const [, columns] = target.shape;
  const values = decodeFloat64({ dtype: target.dtype, shape: target.shape, bytes: got });
  const elementCount = target.exact.length;
  if (values.length !== elementCount) throw new RangeError(`${values.length} elements instead of ${elementCount}`);
  const bounds = tolerance(target);
  const failures: Failure[] = [];
  let correctlyRoundedCount = 0;
  let failureCount = 0;
  let worstRatio = 0;
  for (let i = 0; i < elementCount; i++) {
    const value = values[i]!;
    const exact = target.exact[i]!;
    const rounded = roundTo(target.dtype, exact);
    const equal = value === rounded || (Number.isNaN(value) && Number.isNaN(rounded));
    if (equal) correctlyRoundedCount++;
    // Where the result is not finite only equality will do; a NaN or infinity elsewhere is infinitely wrong.
    const comparable = Number.isFinite(rounded) && Number.isFinite(value);
    const ratio = comparable ? Math.abs(value - exact) / bounds[i]! : equal ? 0 : Infinity;
    worstRatio = Math.max(worstRatio, ratio);
    if (ratio > 1) {
      failureCount++;
      if (failures.length < FAILURES_SHOWN) {
        failures.push({ row: Math.floor(i / columns), column: i % columns, got: value, exact, bound: bounds[i]! });
      }
    }
  }
  return { elementCount, correctlyRoundedCount, worstRatio, failureCount, failures };
}

/** How far each element may lie from its exact result, `[rows · columns]`; meaningless where that is not finite. */
export function tolerance(target: Target): Float64Array {
  const lost = amplitude(target.base, target);
  return target.exact.map((exact, i) => {
    const reductions = target.stages * 8 * 2 ** -24 * lost[i]!;
    // A chunk that holds an infinity gives its finite results no excuse.
    return 0.505 * ulp(target.dtype, exact) + (Number.isFinite(reductions) ? reductions : 0);
  });
}

/** Throws unless every element keeps the promise. */
export function assertWithinTolerance(name: string, comparison: Comparison): void {
  if (comparison.failureCount === 0) return;
  const lines = comparison.failures.map((f) =>
    `  [${f.row}, ${f.column}]: got ${f.got}, exact ${f.exact}, off by ${Math.abs(f.got - f.exact)}, bound ${f.bound}`
  );
  throw new Error(
    `${name}: ${comparison.failureCount} of ${comparison.elementCount} elements are beyond the tolerance, ` +
      `the worst at ${comparison.worstRatio.toPrecision(4)} times its bound\n${lines.join("\n")}`,
  );
}
