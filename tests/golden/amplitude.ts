/**
 * What the reductions of a transformation can lose, element by element: the `A` of the tolerance.
 *
 * A sum over a chunk of a row errs in proportion to the chunk's 2-norm, wherever in the chunk the element stands.
 */

/** How a matrix is transformed, as far as its error bound depends on it. */
export interface TransformedMatrix {
  /** As stored, `[rows, columns]`. */
  readonly shape: readonly [number, number];
  /** Blocks of the input side; 0: the input side is untouched. */
  readonly inputBlocks: number;
  /** Blocks of the output side; 0: the output side is untouched. 1 for a fused matrix, whatever its parts have. */
  readonly outputBlocks: number;
  /** True where the matrix is stored `[in, out]`, as GPT-2's Conv1D does. */
  readonly fanInFanOut: boolean;
}

/**
 * Starts from |W|; replaces each entry by the 2-norm of its chunk along the input axis, then along the output axis.
 *
 * @param base values of W, `[rows · columns]`
 */
export function amplitude(base: Float64Array, matrix: TransformedMatrix): Float64Array {
  const [rows, columns] = matrix.shape;
  const result = base.map(Math.abs);
  const alongRows = { length: columns, stride: 1, count: rows, countStride: columns };
  const downRows = { length: rows, stride: columns, count: columns, countStride: 1 };
  const [input, output] = matrix.fanInFanOut ? [downRows, alongRows] : [alongRows, downRows];
  if (matrix.inputBlocks > 0) replaceByChunkNorm(result, input, matrix.inputBlocks);
  if (matrix.outputBlocks > 0) replaceByChunkNorm(result, output, matrix.outputBlocks);
  return result;
}

/** An axis of a row-major matrix: `count` lines of `length` entries that lie `stride` apart. */
interface Axis {
  readonly length: number;
  readonly stride: number;
  readonly count: number;
  readonly countStride: number;
}

function replaceByChunkNorm(values: Float64Array, axis: Axis, blocks: number): void {
  const chunk = axis.length / blocks;
  if (!Number.isInteger(chunk)) throw new RangeError(`${blocks} blocks do not tile ${axis.length}`);
  for (let line = 0; line < axis.count; line++) {
    for (let start = 0; start < axis.length; start += chunk) {
      const first = line * axis.countStride + start * axis.stride;
      let squares = 0;
      for (let i = 0; i < chunk; i++) squares += values[first + i * axis.stride]! ** 2;
      const norm = Math.sqrt(squares);
      for (let i = 0; i < chunk; i++) values[first + i * axis.stride] = norm;
    }
  }
}
