/** Which block acts on which piece of a tile: the two layouts as plain index arithmetic. */
import type { Blocks } from "./spec.ts";

/** Adjacent chunks of adjacent rows. */
export interface AlongPiece {
  /** Row of the region. */
  readonly row: number;
  readonly rowCount: number;
  readonly chunk: number;
  readonly chunkCount: number;
  /** Block of the first chunk. */
  readonly block: number;
  /** 1: each chunk has the next block; 0: all have the same. */
  readonly blockStep: 0 | 1;
}

/**
 * Cuts rows `[row, row + rowCount)` of a region into pieces that one kernel call can do.
 *
 * Flat map: with k = i·numBlocks + j the chunk's place in the flat order, its block is ⌊k / regionRows⌋. Where
 * numBlocks divides the rows, a block holds for whole rows; elsewhere it may change inside a row.
 *
 * @param same  every row has the blocks of the first one
 */
export function* alongPieces(
  blocks: Blocks,
  regionRows: number,
  row: number,
  rowCount: number,
  same = false,
): Generator<AlongPiece> {
  if (same) {
    for (const piece of alongPieces(blocks, regionRows, row, 1)) yield { ...piece, rowCount };
    return;
  }
  const { numBlocks } = blocks;
  if (blocks.map === "split") {
    yield { row, rowCount, chunk: 0, chunkCount: numBlocks, block: 0, blockStep: 1 };
    return;
  }
  const end = row + rowCount;
  if (regionRows % numBlocks === 0) {
    const rowsPerBlock = regionRows / numBlocks;
    for (let start = row; start < end;) {
      const block = Math.floor(start / rowsPerBlock);
      const stop = Math.min(end, (block + 1) * rowsPerBlock);
      yield { row: start, rowCount: stop - start, chunk: 0, chunkCount: numBlocks, block, blockStep: 0 };
      start = stop;
    }
    return;
  }
  for (let i = row; i < end; i++) {
    for (let chunk = 0; chunk < numBlocks;) {
      const block = Math.floor((i * numBlocks + chunk) / regionRows);
      const stop = Math.min(numBlocks, (block + 1) * regionRows - i * numBlocks);
      yield { row: i, rowCount: 1, chunk, chunkCount: stop - chunk, block, blockStep: 0 };
      chunk = stop;
    }
  }
}

/** Adjacent columns of a group of rows, all under one block. */
export interface DownPiece {
  readonly column: number;
  readonly columnCount: number;
  readonly block: number;
  /** The piece's place among its group's. */
  readonly index: number;
}

/**
 * The blocks that act down one group of rows.
 *
 * Flat map on a Conv1D `[in, out]`: column i is W's row i and group j its chunk j, so that block ⌊(i·numBlocks + j) / out⌋
 * acts on column i.
 */
export function downPieces(blocks: Blocks, columnCount: number, group: number): DownPiece[] {
  if (blocks.map === "split") return [{ column: 0, columnCount, block: group, index: 0 }];
  const pieces: DownPiece[] = [];
  for (let column = 0; column < columnCount;) {
    const block = Math.floor((column * blocks.numBlocks + group) / columnCount);
    // The first i with i·numBlocks + group ≥ (block + 1)·columnCount.
    const stop = Math.min(columnCount, Math.ceil(((block + 1) * columnCount - group) / blocks.numBlocks));
    pieces.push({ column, columnCount: stop - column, block, index: pieces.length });
    column = stop;
  }
  return pieces;
}
