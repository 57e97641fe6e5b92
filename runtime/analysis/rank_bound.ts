/**
 * How large the rank of W' − W can be, by how an Op's blocks tile the matrix.
 *
 * In the paper's layout a side of n blocks of rank r changes W by a rank of at most n·r. In the reference layout each
 * block meets every chunk of its rows, and each of these may bring a rank of its own: up to n²·r.
 */
import type { Blocks, EtherSpec } from "../methods/ether/spec.ts";
import type { SideGeometry } from "./side_geometry.ts";

/** @param sides  of the same Op */
export function rankBound(spec: EtherSpec, sides: readonly SideGeometry[]): number {
  const { rowCount, columnCount } = spec.region;
  const ofDirection = (direction: "along" | "down"): number => {
    const blocks = spec[direction];
    const side = sides.find((one) => one.direction === direction);
    if (blocks === null || side === undefined) return 0;
    // Down the rows is along the rows of the transposed matrix.
    const across = direction === "along" ? rowCount : columnCount;
    return blocks.map === "split"
      ? side.blockRanks.reduce((sum, rank) => sum + Math.min(rank, across), 0)
      : flatBound(blocks, side.blockRanks, across);
  };
  // H̃WH − W = (H̃ − I)WH + W(H − I)
  return Math.min(rowCount, columnCount, ofDirection("along") + ofDirection("down"));
}

/** Of the reference layout: chunk j of row i has block ⌊(i·numBlocks + j) / rowCount⌋. */
function flatBound({ numBlocks }: Blocks, ranks: readonly number[], rowCount: number): number {
  let bound = 0;
  for (let block = 0; block < numBlocks; block++) {
    const [first, end] = [block * rowCount, (block + 1) * rowCount];
    let tiles = 0;
    for (let chunk = 0; chunk < numBlocks; chunk++) {
      // Rows i with first ≤ i·numBlocks + chunk < end.
      const rows = Math.ceil((end - chunk) / numBlocks) - Math.ceil((first - chunk) / numBlocks);
      tiles += Math.min(rows, ranks[block]!);
    }
    const touched = Math.ceil(end / numBlocks) - Math.floor(first / numBlocks);
    bound += Math.min(touched, tiles);
  }
  return bound;
}
