/** How much of a kernel's memory a plan takes, and tiles that keep it within bounds. */
import { EtherError } from "../error.ts";
import type { MergePlan, TensorSpan } from "../plans/plan.ts";
import { elementByteLength } from "../safetensors/dtype.ts";
import { segmentRows } from "./segments.ts";
import { RESIDENT_TILES, worksInPlace } from "./tensor.ts";

/** What a tile has where nothing bounds it: it should stay in a core's cache. */
export const TILE_BYTES: number = 1 << 20;

/** The smallest tile that is tried. */
const MIN_TILE_BYTES = 4096;

/** Bytes that one worker needs at most for any tensor of a plan. */
export function workerByteLength(plan: MergePlan, tileByteLength: number): number {
  let most = TILE_BYTES;
  for (const { spans } of plan.files) {
    for (const span of spans) {
      if (span.kind === "tensor") most = Math.max(most, spanByteLength(span, tileByteLength));
    }
  }
  return most;
}

/**
 * The largest tile with which all workers together stay within `maxByteLength`.
 *
 * @throws {EtherError} `usage` if not even the smallest does, with what it takes
 */
export function tileByteLengthWithin(plan: MergePlan, workerCount: number, maxByteLength: number): number {
  for (let tile = TILE_BYTES; tile >= MIN_TILE_BYTES; tile /= 2) {
    if (workerCount * workerByteLength(plan, tile) <= maxByteLength) return tile;
  }
  const least = workerCount * workerByteLength(plan, MIN_TILE_BYTES);
  throw new EtherError("usage", `${maxByteLength} bytes are too few: ${workerCount} workers need ${least}`, {
    field: "--max-memory",
    hint: "allow more, or use fewer --workers",
  });
}

/** A bound from above: state, and for each level of reading a tile with its decoded form. */
function spanByteLength(span: TensorSpan, tileByteLength: number): number {
  const specs = span.stages.flat();
  const rowByteLength = span.columnCount * Math.max(elementByteLength(span.sourceDtype), elementByteLength(span.dtype));
  let rows = Math.max(1, Math.floor(tileByteLength / rowByteLength));
  let levels = 1;
  for (const { groupNeed, groupRows, region } of specs) {
    if (groupNeed === "nothing") continue;
    if (groupNeed === "rows") rows = Math.max(rows, region.runs.length === 1 ? rows + 2 * groupRows : span.rowCount);
    else {
      levels++;
      const resident = groupRows * rowByteLength <= RESIDENT_TILES * tileByteLength ? groupRows : 0;
      rows = Math.max(rows, resident, segmentRows(region.columnCount));
    }
  }
  rows = Math.min(rows, span.rowCount);
  const tile = rows * (rowByteLength + (worksInPlace(span) ? 0 : 4 * span.columnCount));
  const state = specs.reduce((sum, { stateByteLength, sketchLength }) => sum + stateByteLength + 8 * sketchLength, 0);
  return state + levels * tile;
}
