/** Activations for a small problem, what they must become in f64, and how far off they may be. */
import { prepareApply } from "../../../runtime/apply/prepare_apply.ts";
import type { ApplyOptions, PreparedApply } from "../../../runtime/apply/prepared_apply.ts";
import { decodeFloat64 } from "../../../fixtures/decode.ts";
import { type BuiltProblem, encodeValues, type Problem, TARGET, targetOf } from "../execute/problem.ts";
import { Random } from "../kernel/arbitrary.ts";

/** The module of every problem. */
export const MODULE = TARGET.replace(/\.weight$/, "");

/** Activations `[tokens, dimension]`, each token of another size. */
export function drawActivations({ seed, weights, dtype }: Problem, tokenCount: number, dimension: number) {
  const random = new Random(seed + 1);
  for (let i = 0; i < 8; i++) random.bits();
  // Products of extreme weights must be numbers that f32 has.
  const scale = dtype === "F16" ? 1 : weights === "subnormal" ? 2 ** 50 : weights === "large" ? 2 ** -20 : 1;
  return Float32Array.from({ length: tokenCount * dimension }, (_, at) => {
    return random.normal() * scale * 2 ** (Math.floor(at / dimension) % 3);
  });
}

/** Opens a problem's adapters against its base. */
export function applyProblem({ problem, storage }: BuiltProblem, passByteLength?: number): Promise<PreparedApply> {
  const adapters = problem.adapters.map((_, index) => ({ place: storage.place(`adapter${index}`) }));
  return prepareApply({ base: storage.place("base"), adapters, passByteLength }, storage);
}

/** W'x of a problem. */
export async function linearOf(
  built: BuiltProblem,
  x: Float32Array,
  options?: ApplyOptions & { readonly passByteLength?: number },
): Promise<Float32Array> {
  await using apply = await applyProblem(built, options?.passByteLength);
  return await apply.linear(MODULE, x, options);
}

/** A matrix in f64, as torch has it. */
export interface Matrix {
  readonly values: Float64Array;
  readonly outer: number;
  readonly inner: number;
}

/** The merged matrix of a problem, exactly; and the base. */
export function matricesOf(built: BuiltProblem): { merged: Matrix; base: Matrix } {
  const { outer, inner, fanInFanOut } = built.problem;
  const { exact, base } = targetOf(built);
  const asTorch = (stored: Float64Array): Matrix => {
    return { values: fanInFanOut ? transposed(stored, inner, outer) : stored, outer, inner };
  };
  return { merged: asTorch(exact), base: asTorch(base) };
}

/** y[t, o] = Σᵢ W[o, i]·x[t, i]. */
export function multiply({ values, outer, inner }: Matrix, x: ArrayLike<number>): Float64Array {
  const tokenCount = x.length / inner;
  const y = new Float64Array(tokenCount * outer);
  for (let t = 0; t < tokenCount; t++) {
    for (let o = 0; o < outer; o++) {
      let sum = 0;
      for (let i = 0; i < inner; i++) sum += values[o * inner + i]! * x[t * inner + i]!;
      y[t * outer + o] = sum;
    }
  }
  return y;
}

/**
 * How far each value of W'x may be off: (8·stages + 8)·2⁻²⁴·A. A starts from |x|, each entry replaced by the 2-norm of
 * its chunk where an input side acts; is multiplied by |W|; and each entry replaced by the 2-norm of its chunk where an
 * output side acts.
 */
export function boundOf(built: BuiltProblem, x: Float32Array): Float64Array {
  const { stages, inputBlocks, outputBlocks } = targetOf(built);
  const { base } = matricesOf(built);
  const lost = chunkNorms(Float64Array.from(x, Math.abs), base.inner, inputBlocks);
  const reached = multiply({ ...base, values: base.values.map(Math.abs) }, lost);
  const amplitude = chunkNorms(reached, base.outer, outputBlocks);
  return amplitude.map((a) => (8 * stages + 8) * 2 ** -24 * a);
}

/** Each entry replaced by the norm of its chunk; 0 blocks: as it is. */
export function chunkNorms(values: Float64Array, dimension: number, blocks: number): Float64Array {
  if (blocks === 0) return values;
  const length = dimension / blocks;
  const norms = values.slice();
  for (let start = 0; start < values.length; start += length) {
    const chunk = values.subarray(start, start + length);
    norms.fill(Math.sqrt(chunk.reduce((sum, value) => sum + value * value, 0)), start, start + length);
  }
  return norms;
}

/** The largest error in units of its bound; infinite where a number stands for none, or the other way round. */
export function worstRatio(got: ArrayLike<number>, exact: Float64Array, bound: Float64Array): number {
  let worst = got.length === exact.length ? 0 : Infinity;
  exact.forEach((value, i) => {
    const error = Math.abs(got[i]! - value);
    if (error !== 0) worst = Math.max(worst, Number.isNaN(error) ? Infinity : error / bound[i]!);
  });
  return worst;
}

/** `[rows, columns]` → `[columns, rows]`. */
export function transposed(values: Float64Array, rows: number, columns: number): Float64Array {
  return values.map((_, at) => values[(at % rows) * columns + Math.floor(at / rows)]!);
}

/** f32 values as a dtype has them, and back. */
export function decodeAs(dtype: Problem["dtype"], shape: readonly number[], values: Float32Array): Float64Array {
  return decodeFloat64({ dtype, shape, bytes: encodeValues(dtype, values) });
}
