/** Problems of every kind, small. */
import fc from "fast-check";
import { FLOAT_DTYPES } from "../../../runtime/safetensors/dtype.ts";
import type { Fused, Part, Problem, ProblemAdapter } from "./problem.ts";

const seeds = fc.integer({ min: 1, max: 2 ** 31 - 1 });
const dtypes = fc.constantFrom(...FLOAT_DTYPES);
const weights = fc.constantFrom("normal", "normal", "rows of many scales", "subnormal", "large");

/** What of an adapter does not hang on the matrix's shape; `pick` chooses among the counts of blocks that do. */
const adapterDrafts = fc.record({
  variant: fc.constantFrom("ether", "ether", "etherplus", "etherplus", "oft"),
  sides: fc.constantFrom(["in"], ["out"], ["in", "out"]),
  layout: fc.constantFrom("paper", "reference"),
  pick: fc.nat(),
  dtype: dtypes,
  strength: fc.constantFrom(1, 1, 0.3, -0.5, 2),
  parts: fc.subarray<Part>(["q", "k", "v"], { minLength: 1 }),
});

const fusedShapes: fc.Arbitrary<Fused> = fc.record({
  numQueryGroups: fc.integer({ min: 1, max: 4 }),
  headsPerGroup: fc.integer({ min: 1, max: 3 }),
  headSize: fc.integer({ min: 1, max: 12 }),
  order: fc.constantFrom("grouped", "concat"),
}).map(({ headsPerGroup, ...fused }) => ({ ...fused, numHeads: headsPerGroup * fused.numQueryGroups }));

/** Small lengths, with many that have divisors and many that are no multiple of a vector. */
const lengths = fc.oneof(
  fc.integer({ min: 1, max: 40 }),
  fc.constantFrom(24, 36, 48, 60, 64, 72, 75, 90, 96, 120, 130, 144),
);

/** Any problem: chains of one to three adapters on a Linear, a Conv1D or a fused matrix, cast or not. */
export const problems: fc.Arbitrary<Problem> = fc.record({
  seed: seeds,
  dtype: dtypes,
  castTo: fc.option(dtypes, { freq: 4, nil: undefined }),
  outer: lengths,
  inner: lengths,
  kind: fc.constantFrom("linear", "linear", "conv1d", "fused"),
  fused: fusedShapes,
  weights,
  adapters: fc.array(adapterDrafts, { minLength: 1, maxLength: 3 }),
}).map(({ kind, fused, castTo, ...draft }): Problem => {
  const isFused = kind === "fused";
  const outer = isFused ? (fused.numHeads + 2 * fused.numQueryGroups) * fused.headSize : draft.outer;
  const kvRows = fused.numQueryGroups * fused.headSize;
  const adapters = draft.adapters.map(({ pick, parts, ...adapter }): ProblemAdapter => {
    const axes = adapter.sides.map((side) => side === "in" ? draft.inner : isFused ? kvRows : outer);
    const counts = divisorsOf(axes);
    return {
      ...adapter as Omit<ProblemAdapter, "numBlocks">,
      ...isFused ? { parts } : {},
      numBlocks: counts[pick % counts.length]!,
      // A rotation has no partial strength.
      strength: adapter.variant === "oft" ? 1 : adapter.strength,
    };
  });
  // Known limit: what stands between two steps is rounded to f32. Below 2^-126 that loses as much as the last rounding
  // to F32 may, and more than the tolerance has room for. F16 and BF16 have far larger steps.
  const steps = adapters.reduce((sum, { variant, sides }) => sum + (variant === "oft" ? sides.length : 1), 0);
  const lost = draft.weights === "subnormal" && (castTo ?? draft.dtype) === "F32" && steps > 1;
  const weights = lost ? "normal" : draft.weights;
  return {
    ...{ seed: draft.seed, dtype: draft.dtype, weights, outer, inner: draft.inner, adapters },
    ...castTo === undefined ? {} : { castTo },
    ...kind === "conv1d" ? { fanInFanOut: true } : {},
    ...isFused ? { fused } : {},
  };
});

/** What divides all of the lengths, in increasing order. */
export function divisorsOf(lengths: readonly number[]): number[] {
  const shortest = Math.min(...lengths);
  return Array.from({ length: shortest }, (_, i) => i + 1).filter((count) => lengths.every((n) => n % count === 0));
}
