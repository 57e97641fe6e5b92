/** Which rows of a tensor are taken at once: decided by the plan and the tile's size alone. */
import type { OpSpec, RowRun } from "../methods/op.ts";
import type { TensorSpan } from "../plans/plan.ts";
import { elementByteLength } from "../safetensors/dtype.ts";
import { regionRuns, storedRuns } from "./segments.ts";

/** A group of up to this many tiles is taken as one, so that it is read once. */
const RESIDENT_TILES = 4;

/** Rows of a tile: whole ones, as many as fit in the wider of the two dtypes, and at least one. */
export function tileRows(span: TensorSpan, tileByteLength: number): number {
  const elementBytes = Math.max(elementByteLength(span.sourceDtype), elementByteLength(span.dtype));
  return Math.max(1, Math.floor(tileByteLength / (span.columnCount * elementBytes)));
}

/** True where an Op's groups are small enough to be summed in the tile that they are transformed in. */
export function isResident({ groupRows }: OpSpec, span: TensorSpan, tileByteLength: number): boolean {
  return groupRows <= RESIDENT_TILES * tileRows(span, tileByteLength);
}

/** True where the Ops can work on the bytes as read, and what they leave is the output. */
export function worksInPlace({ stages, sourceDtype, dtype }: TensorSpan): boolean {
  if (sourceDtype !== dtype || (stages.length > 1 && dtype !== "F32")) return false;
  return stages.flat().every(({ tileDtypes }) => tileDtypes.includes(dtype));
}

/**
 * Where a tile that begins at a row ends: with a group of the first stage while whole groups fit, so that they are summed
 * where they lie. It may be beyond the tensor's end.
 */
export function tileEnd(span: TensorSpan, tileByteLength: number, row: number): number {
  const rows = tileRows(span, tileByteLength);
  const [spec] = span.stages[0] ?? [];
  if (spec === undefined || spec.groupNeed === "nothing" || spec.region.runs.length > 1) return row + rows;
  const { groupRows } = spec;
  const end = row + (isResident(spec, span, tileByteLength) ? Math.max(groupRows, rows) : rows);
  const wholeGroups = Math.floor(end / groupRows) * groupRows;
  return wholeGroups > row ? wholeGroups : end;
}

/** Widens rows to whole groups of every Op of the first `stageCount` stages that mixes a group's rows. */
export function wholeGroups({ stages }: TensorSpan, rows: RowRun, stageCount: number): RowRun {
  let { start } = rows;
  let end = start + rows.count;
  for (let before = -1; before !== end - start;) {
    before = end - start;
    for (const spec of stages.slice(0, stageCount).flat()) {
      if (spec.groupNeed !== "rows") continue;
      for (const run of regionRuns(spec.region.runs, { start, count: end - start })) {
        const first = Math.floor(run.regionRow / spec.groupRows) * spec.groupRows;
        const last = Math.ceil((run.regionRow + run.count) / spec.groupRows) * spec.groupRows;
        for (const { storedRow, count } of storedRuns(spec.region.runs, { start: first, count: last - first })) {
          start = Math.min(start, storedRow);
          end = Math.max(end, storedRow + count);
        }
      }
    }
  }
  return { start, count: end - start };
}
