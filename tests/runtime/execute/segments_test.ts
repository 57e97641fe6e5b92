import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { groupSpans, regionRuns, segmentRows, spanRows, storedRuns } from "../../../runtime/execute/segments.ts";
import type { OpSpec, RowRun } from "../../../runtime/methods/op.ts";

/** Runs without overlap, in order. */
const regions = fc.array(fc.tuple(fc.nat({ max: 5 }), fc.integer({ min: 1, max: 9 })), { minLength: 1, maxLength: 6 })
  .map((pairs) => {
    const runs: RowRun[] = [];
    let row = 0;
    for (const [gap, count] of pairs) {
      runs.push({ start: row + gap, count });
      row += gap + count;
    }
    return { runs, storedCount: row + 3 };
  });

/** The stored row of each region row. */
function storedRows(runs: readonly RowRun[]): number[] {
  return runs.flatMap(({ start, count }) => Array.from({ length: count }, (_, i) => start + i));
}

function specOf(groupRows: number, rowCount: number, columnCount: number): OpSpec {
  return { groupRows, region: { runs: [{ start: 0, count: rowCount }], rowCount, columnCount } } as unknown as OpSpec;
}

Deno.test("storedRuns: the rows of any range of a region, where they are stored", () => {
  fc.assert(fc.property(regions, fc.nat({ max: 60 }), fc.nat({ max: 60 }), ({ runs }, a, b) => {
    const all = storedRows(runs);
    const start = a % (all.length + 1);
    const count = b % (all.length - start + 1);
    const found = storedRuns(runs, { start, count });
    const rows = found.flatMap((run) =>
      Array.from({ length: run.count }, (_, i) => [run.regionRow + i, run.storedRow + i])
    );
    assertEquals(rows, all.map((stored, region) => [region, stored]).slice(start, start + count));
  }));
});

Deno.test("regionRuns: the region's rows among any stored rows, and their numbers", () => {
  fc.assert(fc.property(regions, fc.nat({ max: 60 }), fc.nat({ max: 60 }), ({ runs, storedCount }, a, b) => {
    const start = a % storedCount;
    const count = b % (storedCount - start + 1);
    const found = regionRuns(runs, { start, count });
    const rows = found.flatMap((run) =>
      Array.from({ length: run.count }, (_, i) => [run.regionRow + i, run.storedRow + i])
    );
    const expected = storedRows(runs).map((stored, region) => [region, stored]);
    assertEquals(rows, expected.filter(([, stored]) => stored! >= start && stored! < start + count));
  }));
});

Deno.test("groupSpans: few spans of whole segments that together are the group", () => {
  const counts = fc.integer({ min: 1, max: 200_000 });
  fc.assert(fc.property(counts, fc.integer({ min: 1, max: 5 }), counts, (groupRows, groups, columnCount) => {
    const spec = specOf(groupRows, groupRows * groups, columnCount);
    const segment = segmentRows(columnCount);
    assertEquals(spanRows(spec) % segment, 0);
    const spans = groupSpans(spec, groups - 1);
    assert(spans.length <= 16, `${spans.length} spans`);
    let row = (groups - 1) * groupRows;
    for (const { start, count } of spans) {
      assertEquals(start, row);
      row += count;
    }
    assertEquals(row, groupRows * groups);
  }));
});

Deno.test("segmentRows: a power of two, at most 64 rows and a quarter of a million elements, but one row at least", () => {
  for (const columnCount of [1, 64, 4096, 4097, 14336, 131_072, 262_144, 262_145, 1e6]) {
    const rows = segmentRows(columnCount);
    assert(Number.isInteger(Math.log2(rows)) && rows <= 64);
    assert(rows === 1 || rows * columnCount <= 262_144, `${columnCount}: ${rows}`);
    assert(rows === 64 || 2 * rows * columnCount > 262_144, `${columnCount}: ${rows}`);
  }
});
