/** Sets of output features as runs: sorted, apart from each other. */
import { regionRuns, storedRuns } from "../execute/segments.ts";
import type { RowRun } from "../methods/op.ts";

/** How many features there are in all. */
export function countOf(runs: readonly RowRun[]): number {
  return runs.reduce((sum, { count }) => sum + count, 0);
}

/** The same features, sorted, with neighbours joined. */
export function joined(runs: readonly RowRun[]): RowRun[] {
  const sorted = runs.toSorted((a, b) => a.start - b.start);
  const result: { start: number; count: number }[] = [];
  for (const { start, count } of sorted) {
    if (count === 0) continue;
    const last = result.at(-1);
    if (last === undefined || start > last.start + last.count) result.push({ start, count });
    else last.count = Math.max(last.count, start + count - last.start);
  }
  return result;
}

/** What is in the first and not in the second; both sorted. */
export function without(runs: readonly RowRun[], taken: readonly RowRun[]): RowRun[] {
  const result: RowRun[] = [];
  for (const { start, count } of runs) {
    let from = start;
    for (const hole of taken) {
      if (hole.start + hole.count <= from) continue;
      if (hole.start >= start + count) break;
      if (hole.start > from) result.push({ start: from, count: hole.start - from });
      from = Math.max(from, hole.start + hole.count);
    }
    if (from < start + count) result.push({ start: from, count: start + count - from });
  }
  return result;
}

/** Adjacent features: their number in the matrix, and in a part of it. */
export interface PartRun {
  readonly start: number;
  readonly inPart: number;
  readonly count: number;
}

/** What of a part is among some features. */
export function within(features: readonly RowRun[], runs: readonly RowRun[]): PartRun[] {
  return runs.flatMap((run) =>
    regionRuns(features, run).map(({ storedRow, regionRow, count }) => ({ start: storedRow, inPart: regionRow, count }))
  );
}

/** Features `[start, start + count)` of a part, as the matrix numbers them. */
export function ofPart(features: readonly RowRun[], run: RowRun): RowRun[] {
  return storedRuns(features, run).map(({ storedRow, count }) => ({ start: storedRow, count }));
}

/** The place of a feature among some, counted through from 0. */
export function placeOf(runs: readonly RowRun[], feature: number): number {
  let before = 0;
  for (const { start, count } of runs) {
    if (feature < start + count) return before + feature - start;
    before += count;
  }
  throw new RangeError(`feature ${feature} is not among them`);
}
