/**
 * The rank of a change ΔW, measured while its rows stream by.
 *
 * A random sketch Z = Ψ·ΔW of k rows has the rank of ΔW wherever that is at most k, up to chance (Halko, Martinsson and
 * Tropp, arXiv 0909.4061). The change is computed in f32, so that each of its elements carries an error of some 2⁻²⁴ of W's
 * own: rows and columns are scaled by W's norms first, which leaves the rank alone and makes that error the same all
 * over. A column-pivoted QR then tells what is more than such an error.
 */
import { SeededDraw } from "./seeded_draw.ts";

/** Columns of the widest matrix whose rank is measured. */
export const MAX_RANK_COLUMNS = 1024;

/** Rows of a sketch beyond the rank that is expected: a rank that is larger shows, and chance has no say. */
const SPARE_ROWS = 16;

/** A scaled entry of the change below this is the rounding of its computation: a few units of f32. */
const NOISE = 8 * 2 ** -24;

/** A sketch of a change. */
export class RankSketch {
  readonly #columnCount: number;
  /** f64 `[rowCount, columnCount]` */
  readonly #sketch: Float64Array<ArrayBuffer>;
  readonly #rowCount: number;
  /** Random coefficients; null where every row has its own: then ΔW itself is kept. */
  readonly #draw: SeededDraw | null;
  readonly #row: Float64Array<ArrayBuffer>;
  /** Σ_i (w_ij² + δ_ij²) / (‖w_i‖² + ‖δ_i‖²) of each column. */
  readonly #columnSquares: Float64Array<ArrayBuffer>;
  #next = 0;

  /** @param bound  a rank that the change should not exceed */
  constructor(rowCount: number, columnCount: number, bound: number, seed: number) {
    const sketchRows = Math.min(bound, columnCount) + SPARE_ROWS;
    this.#columnCount = columnCount;
    this.#draw = sketchRows < rowCount ? new SeededDraw(seed) : null;
    this.#rowCount = Math.min(sketchRows, rowCount);
    this.#sketch = new Float64Array(this.#rowCount * columnCount);
    this.#row = new Float64Array(columnCount);
    this.#columnSquares = new Float64Array(columnCount);
  }

  /** Adds the next row of W and of W + ΔW: `columnCount` values of each, from `at` and `afterAt` on. */
  add(before: Float32Array, at: number, after: Float32Array, afterAt: number): void {
    const row = this.#row;
    const columnCount = this.#columnCount;
    let squares = 0;
    for (let j = 0; j < columnCount; j++) {
      const w = before[at + j]!;
      const delta = after[afterAt + j]! - w;
      row[j] = delta;
      squares += w * w + delta * delta;
    }
    const index = this.#next++;
    if (squares === 0) return;
    const scale = 1 / Math.sqrt(squares);
    for (let j = 0; j < columnCount; j++) {
      const w = before[at + j]! * scale;
      row[j]! *= scale;
      this.#columnSquares[j]! += w * w + row[j]! * row[j]!;
    }
    if (this.#draw === null) {
      this.#sketch.set(row, index * columnCount);
      return;
    }
    for (let start = 0; start < this.#sketch.length; start += columnCount) {
      const factor = this.#draw.signed();
      for (let j = 0; j < columnCount; j++) this.#sketch[start + j]! += factor * row[j]!;
    }
  }

  /** The rank, once all rows are there. */
  finish(): number {
    const scaled = this.#sketch;
    for (let j = 0; j < this.#columnCount; j++) {
      const squares = this.#columnSquares[j]!;
      const scale = squares > 0 ? 1 / Math.sqrt(squares) : 0;
      for (let i = j; i < scaled.length; i += this.#columnCount) scaled[i]! *= scale;
    }
    return pivotedRank(scaled, this.#rowCount, this.#columnCount, NOISE * Math.sqrt(this.#rowCount));
  }
}

/**
 * Columns of A `[rowCount, columnCount]` that stand out of the span of those before by more than `tolerance`: the rank,
 * by Householder QR with column pivoting (Businger and Golub, 1965). A is used up.
 */
export function pivotedRank(a: Float64Array, rowCount: number, columnCount: number, tolerance: number): number {
  const columns = Array.from({ length: columnCount }, (_, j) => {
    return Float64Array.from({ length: rowCount }, (_, i) => a[i * columnCount + j]!);
  });
  const squares = columns.map((column) => squaresFrom(column, 0));
  const most = Math.min(rowCount, columnCount);
  for (let rank = 0; rank < most; rank++) {
    let pivot = rank;
    for (let j = rank + 1; j < columnCount; j++) if (squares[j]! > squares[pivot]!) pivot = j;
    [columns[rank], columns[pivot]] = [columns[pivot]!, columns[rank]!];
    [squares[rank], squares[pivot]] = [squares[pivot]!, squares[rank]!];
    const reflector = columns[rank]!;
    const norm = Math.sqrt(squaresFrom(reflector, rank));
    if (!(norm > tolerance)) return rank;
    reflector[rank]! += reflector[rank]! < 0 ? -norm : norm;
    const scale = 2 / squaresFrom(reflector, rank);
    for (let j = rank + 1; j < columnCount; j++) {
      const column = columns[j]!;
      let dot = 0;
      for (let i = rank; i < rowCount; i++) dot += reflector[i]! * column[i]!;
      dot *= scale;
      let left = 0;
      for (let i = rank; i < rowCount; i++) {
        const value = column[i]! - dot * reflector[i]!;
        column[i] = value;
        // What is in the rows to come: taken anew, as taking away leaves no digits in the end.
        if (i > rank) left += value * value;
      }
      squares[j] = left;
    }
  }
  return most;
}

function squaresFrom(column: Float64Array, start: number): number {
  let squares = 0;
  for (let i = start; i < column.length; i++) squares += column[i]! * column[i]!;
  return squares;
}
