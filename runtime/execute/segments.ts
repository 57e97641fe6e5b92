/**
 * How the rows of a group are summed: the order is decided by the shape alone, so that any number of workers, any tile
 * and any range add the same numbers in the same order.
 *
 * A *segment* is summed in f32 by one kernel call and then widened: short sums keep the error of a long column small. A
 * *span* is some whole segments that one worker sums in f64; a group's spans are added in order.
 */
import type { OpSpec, RowRun } from "../methods/op.ts";

/** A segment has at most this many elements, so that it fits a tile, … */
const SEGMENT_ELEMENTS = 262_144;
/** … and at most this many rows. */
const SEGMENT_ROWS = 64;
/** A group is cut into at most this many spans: the most workers that can share one reduction. */
const MAX_SPANS = 4;

/** Rows of a segment, a power of two. */
export function segmentRows(columnCount: number): number {
  let rows = SEGMENT_ROWS;
  while (rows > 1 && rows * columnCount > SEGMENT_ELEMENTS) rows /= 2;
  return rows;
}

/** Rows of a span: whole segments. */
export function spanRows(spec: OpSpec): number {
  const rows = segmentRows(spec.region.columnCount);
  return rows * Math.ceil(spec.groupRows / (rows * MAX_SPANS));
}

/** The rows of each span of a group, as region rows. */
export function groupSpans(spec: OpSpec, group: number): RowRun[] {
  const start = group * spec.groupRows;
  const end = Math.min(spec.region.rowCount, start + spec.groupRows);
  const step = spanRows(spec);
  const spans: RowRun[] = [];
  for (let row = start; row < end; row += step) spans.push({ start: row, count: Math.min(step, end - row) });
  return spans;
}

/** Adjacent rows of the stored matrix, and the region's number of the first. */
export interface StoredRun {
  readonly storedRow: number;
  readonly regionRow: number;
  readonly count: number;
}

/** Region rows `[start, start + count)` as runs of the stored matrix. */
export function storedRuns(runs: readonly RowRun[], { start, count }: RowRun): StoredRun[] {
  const found: StoredRun[] = [];
  let regionRow = 0;
  for (const run of runs) {
    const from = Math.max(start, regionRow);
    const to = Math.min(start + count, regionRow + run.count);
    if (from < to) found.push({ storedRow: run.start + from - regionRow, regionRow: from, count: to - from });
    regionRow += run.count;
  }
  return found;
}

/** The region's rows among stored rows `[start, start + count)`. */
export function regionRuns(runs: readonly RowRun[], { start, count }: RowRun): StoredRun[] {
  const found: StoredRun[] = [];
  let regionRow = 0;
  for (const run of runs) {
    const from = Math.max(start, run.start);
    const to = Math.min(start + count, run.start + run.count);
    if (from < to) found.push({ storedRow: from, regionRow: regionRow + from - run.start, count: to - from });
    regionRow += run.count;
  }
  return found;
}
