/** How much of a kernel's memory a plan takes, and tiles that keep it within bounds. */
import { EtherError } from "../error.ts";
import { roomFor } from "../methods/arena.ts";
import type { MergePlan, TensorSpan } from "../plans/plan.ts";
import { elementByteLength } from "../safetensors/dtype.ts";
import { segmentRows } from "./segments.ts";
import { isResident, tileRows, worksInPlace } from "./tiles.ts";

/** What a tile has where nothing bounds it: it should stay in a core's cache. */
export const TILE_BYTES: number = 1 << 20;
/** The same for a kernel on another device: a batch costs the way there and back, whatever is in it. */
export const DEVICE_TILE_BYTES: number = 16 << 20;

/** The smallest tile that is tried. */
const MIN_TILE_BYTES = 4096;

/** Bytes that one worker needs at most for any tensor of a plan. */
export function workerByteLength(plan: MergePlan, tileByteLength: number): number {
  let most = TILE_BYTES;
  for (const { spans } of [...plan.files, ...plan.receipt?.undoFiles ?? []]) {
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

/**
 * Bytes of a kernel's memory that one tensor takes at most: the Ops' state, and for each level of reading a tile with its
 * decoded form and its sums.
 */
export function spanByteLength(span: TensorSpan, tileByteLength: number): number {
  const specs = span.stages.flat();
  const rows = widestTile(span, tileByteLength);
  const elementBytes = Math.max(elementByteLength(span.sourceDtype), elementByteLength(span.dtype));
  const decoded = worksInPlace(span) ? 0 : roomFor(4 * rows * span.columnCount);
  const tile = roomFor(rows * span.columnCount * elementBytes) + decoded;
  const state = specs.reduce((sum, { stateByteLength }) => sum + stateByteLength, 0);
  // Summing what a stage needs reads rows through the stages before it, which may have to sum as well.
  const sums = span.stages.map((stage) => Math.max(0, ...stage.map(({ sketchLength }) => roomFor(8 * sketchLength))));
  const levels = 1 + sums.filter((byteLength) => byteLength > 0).length;
  // A group that lies in several runs is brought together beside the tile.
  const scattered = specs.filter(({ groupNeed, region }) => groupNeed === "rows" && region.runs.length > 1);
  const gathered = Math.max(0, ...scattered.map(({ groupRows }) => roomFor(4 * groupRows * span.columnCount)));
  return state + sums.reduce((a, b) => a + b, 0) + levels * tile + gathered;
}

/** The most rows that a tile may have, whole groups included. */
function widestTile(span: TensorSpan, tileByteLength: number): number {
  let rows = tileRows(span, tileByteLength);
  for (const spec of span.stages.flat()) {
    if (spec.groupNeed !== "sketch") continue;
    const resident = isResident(spec, span, tileByteLength) ? spec.groupRows : 0;
    rows = Math.max(rows, resident, segmentRows(span.columnCount));
  }
  const mixing = span.stages.map((stage) => stage.filter(({ groupNeed }) => groupNeed === "rows"));
  const mixed = mixing.flat();
  if (mixed.length === 0) return Math.min(rows, span.rowCount);
  const widest = Math.max(...mixed.map(({ groupRows }) => groupRows));
  // Groups of several stages widen each other's until they end together, unless the largest are made of the others.
  const nested = mixed.every(({ groupRows, region }) => widest % groupRows === 0 && region.rowCount === span.rowCount);
  const alone = mixing.filter((stage) => stage.length > 0).length === 1;
  const inOneRun = mixed.every(({ region }) => region.runs.length === 1);
  return inOneRun && (alone || nested) ? Math.min(rows + 2 * widest, span.rowCount) : span.rowCount;
}
