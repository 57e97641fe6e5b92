/**
 * How many parameters a method trains, from the shapes of its targets alone (arXiv 2405.20271, tables 2 to 5).
 *
 * The paper's numbers follow from these formulas to the last digit; `tests/runtime/analysis` has each of them.
 */

/** A target W `[out, in]`. */
export interface TargetShape {
  readonly out: number;
  readonly in: number;
}

/** Sides of W that a method acts on: `in` is W·H, `out` is H·W. */
export type CountedSide = "in" | "out";

const lengthOf = (shape: TargetShape, sides: readonly CountedSide[]) =>
  sides.reduce((sum, side) => sum + shape[side], 0);

/** ETHER, one vector a side: its length over all blocks is the side's, whatever their number. */
export function etherCount(shape: TargetShape, sides: readonly CountedSide[] = ["in"]): number {
  return lengthOf(shape, sides);
}

/** ETHER+, two vectors a side; the paper's acts on both. */
export function etherPlusCount(shape: TargetShape, sides: readonly CountedSide[] = ["in", "out"]): number {
  return 2 * lengthOf(shape, sides);
}

/** LoRA of one rank: A `[rank, in]` and B `[out, rank]`. */
export function loraCount({ out, in: inner }: TargetShape, rank: number): number {
  return rank * (out + inner);
}

/** VeRA: one vector of the rank and one of the rows; the two shared matrices are not trained. */
export function veraCount({ out }: TargetShape, rank: number): number {
  return rank + out;
}

/** How OFT's parameters are counted. */
export type OftConvention =
  /** n²/2 for each block of n: what the paper's tables have. */
  | "half"
  /** n(n−1)/2: the free entries of a skew-symmetric matrix, what PEFT stores. */
  | "skew";

/** OFT on one side of length `dimension`, in `numBlocks` blocks. */
export function oftCount(dimension: number, numBlocks: number, convention: OftConvention): number {
  const n = dimension / numBlocks;
  return numBlocks * n * (convention === "half" ? n : n - 1) / 2;
}
