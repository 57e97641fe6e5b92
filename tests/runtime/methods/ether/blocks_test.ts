/** The two layouts' index arithmetic, for every small shape, against the formula r(i, j) = ⌊(i·numBlocks + j) / out⌋. */
import { assert, assertEquals } from "@std/assert";
import { alongPieces, downPieces } from "../../../../runtime/methods/ether/blocks.ts";
import type { BlockMap, Blocks } from "../../../../runtime/methods/ether/spec.ts";

function blocksOf(map: BlockMap, numBlocks: number): Blocks {
  return { map, numBlocks, blockLength: 1, u: null as never, v: null };
}

/** The block of each chunk of each row in a range, as pieces say; each chunk exactly once. */
function blockOfChunks(blocks: Blocks, regionRows: number, row: number, rowCount: number): number[][] {
  const found = Array.from({ length: rowCount }, () => new Array<number>(blocks.numBlocks).fill(-1));
  for (const piece of alongPieces(blocks, regionRows, row, rowCount)) {
    assert(piece.rowCount > 0 && piece.chunkCount > 0, "no piece is empty");
    for (let i = 0; i < piece.rowCount; i++) {
      for (let j = 0; j < piece.chunkCount; j++) {
        const chunk = piece.chunk + j;
        assertEquals(found[piece.row - row + i]![chunk], -1, "a chunk comes once");
        found[piece.row - row + i]![chunk] = piece.block + j * piece.blockStep;
      }
    }
  }
  return found;
}

Deno.test("alongPieces of a flat map: ⌊(i·numBlocks + j) / rows⌋ for every range of every small shape", () => {
  for (let regionRows = 1; regionRows <= 12; regionRows++) {
    for (let numBlocks = 1; numBlocks <= 14; numBlocks++) {
      for (let row = 0; row < regionRows; row++) {
        for (let rowCount = 1; rowCount <= regionRows - row; rowCount++) {
          const expected = Array.from(
            { length: rowCount },
            (_, i) => Array.from({ length: numBlocks }, (_, j) => Math.floor(((row + i) * numBlocks + j) / regionRows)),
          );
          const what = `${numBlocks} blocks, rows ${row} + ${rowCount} of ${regionRows}`;
          assertEquals(blockOfChunks(blocksOf("flat", numBlocks), regionRows, row, rowCount), expected, what);
        }
      }
    }
  }
});

Deno.test("alongPieces of a split map: chunk j has block j in every row, in one piece", () => {
  for (let numBlocks = 1; numBlocks <= 9; numBlocks++) {
    const blocks = blocksOf("split", numBlocks);
    assertEquals([...alongPieces(blocks, 10, 3, 4)].length, 1);
    const expected = Array.from({ length: 4 }, () => Array.from({ length: numBlocks }, (_, j) => j));
    assertEquals(blockOfChunks(blocks, 10, 3, 4), expected);
  }
});

Deno.test("alongPieces of a flat map: whole rows in one piece for each block where numBlocks divides the rows", () => {
  assertEquals([...alongPieces(blocksOf("flat", 4), 64, 0, 64)].length, 4);
  assertEquals([...alongPieces(blocksOf("flat", 4), 64, 10, 30)].length, 3);
});

Deno.test("downPieces of a flat map: column i of group j has block ⌊(i·numBlocks + j) / columns⌋, for every small shape", () => {
  for (let columnCount = 1; columnCount <= 24; columnCount++) {
    for (let numBlocks = 1; numBlocks <= 26; numBlocks++) {
      for (let group = 0; group < numBlocks; group++) {
        const pieces = downPieces(blocksOf("flat", numBlocks), columnCount, group);
        const found = pieces.flatMap(({ columnCount, block }) => new Array<number>(columnCount).fill(block));
        const expected = Array.from(
          { length: columnCount },
          (_, i) => Math.floor((i * numBlocks + group) / columnCount),
        );
        assertEquals(found, expected, `${numBlocks} blocks, ${columnCount} columns, group ${group}`);
        assertEquals(pieces.map(({ index }) => index), pieces.map((_, at) => at));
        // Room for the pieces' sums is taken for this many.
        assert(pieces.length <= numBlocks + 1);
        let column = 0;
        for (const piece of pieces) {
          assertEquals(piece.column, column);
          column += piece.columnCount;
        }
      }
    }
  }
});

Deno.test("downPieces of a split map: a group is one block over all columns", () => {
  assertEquals(downPieces(blocksOf("split", 3), 10, 2), [{ column: 0, columnCount: 10, block: 2, index: 0 }]);
});
