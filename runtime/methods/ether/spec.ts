/**
 * What an ETHER adapter does to one stored matrix, as data.
 *
 * PEFT's sides are about W `[out, in]`: `in` is W·H, `out` is H̃·W. What runs is about the matrix as stored, where a
 * transformation acts *along* the rows (from the right) or *down* the rows (from the left). For a Linear `in` is along
 * and `out` is down; for GPT-2's Conv1D, stored `[in, out]`, they change places.
 */
import type { OpSpec, TensorRef } from "../op.ts";
import type { InverseVectors } from "./inverse.ts";

/** The `peft_type` of the format. */
export const ETHER = "ETHER";

/**
 * Which block acts where, for chunks of a row (along) or groups of rows (down).
 *
 * - `split`: chunk j of every row, or group j of the rows, gets block j: the paper's layout, and every out side.
 * - `flat`: the reference code reshapes the flat buffer of W `[out, in]` to `[numBlocks, out, in / numBlocks]`, so that
 *   chunk j of W's row i gets block ⌊(i·numBlocks + j) / out⌋: the reference layout of the in side.
 */
export type BlockMap = "split" | "flat";

/** Blocks that act along or down the rows of the stored matrix. */
export interface Blocks {
  readonly map: BlockMap;
  readonly numBlocks: number;
  /** Columns of a chunk, or rows of a group. */
  readonly blockLength: number;
  /** f `[numBlocks, blockLength]`, or `[numBlocks, blockLength, blockLength]` of a dense block. */
  readonly u: TensorRef;
  /** `[numBlocks, blockLength]`, ETHER+ only. */
  readonly v: TensorRef | null;
}

/** ETHER and ETHER+: I − alpha·ûûᵀ + beta·v̂v̂ᵀ on one or both sides (arXiv 2405.20271, eq. 1 and 2). */
export interface ReflectionSpec extends OpSpec {
  readonly kind: "reflection";
  readonly along: Blocks | null;
  readonly down: Blocks | null;
  /** True where W is stored [in, out], so that the in side is down. */
  readonly conv1d: boolean;
  /** 2a for ETHER at strength a, a for ETHER+; computed in f64, rounded once to f32. */
  readonly alpha: number;
  /** a for ETHER+, 0 for ETHER. */
  readonly beta: number;
  /** Of an Op that undoes ETHER+: its vectors are made of u and v. Absent: they are u and v. */
  readonly inverse?: InverseVectors;
}

/** The `oft` variant: dense orthogonal blocks Q = (I + S)(I − S)⁻¹, S = (R − Rᵀ)/2; `transposed` where Qᵀ acts. */
export interface RotationSpec extends OpSpec {
  readonly kind: "rotation";
  readonly along: Blocks | null;
  readonly down: Blocks | null;
  /** True where W is stored [in, out], so that the in side is down. */
  readonly conv1d: boolean;
  readonly transposed: boolean;
}

/** Any Op of this method. */
export type EtherSpec = ReflectionSpec | RotationSpec;
