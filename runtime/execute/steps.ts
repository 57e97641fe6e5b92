/** A plan cut into tasks, with what each must wait for. */
import type { RowRun } from "../methods/op.ts";
import type { MergePlan, PlannedFile, TensorSpan } from "../plans/plan.ts";
import { groupSpans, regionRuns, storedRuns } from "./segments.ts";
import { type SketchKey, sketchKey } from "./sketches.ts";
import type { DigestTask, ResidualTask, ShareTask, SumTask } from "./task.ts";
import { isResident } from "./tiles.ts";
import { PIECE_BYTES } from "./tree_digest.ts";

/** Bytes of a share where nothing else is asked for: its borders cost nothing, and workers end together. */
export const SHARE_BYTES: number = 64 * PIECE_BYTES;

/** Names a group whose sketch is shared by several tasks. */
export type GroupId = string;

/** A sketch that several shares need, made in parts before them. */
export interface GroupSteps {
  readonly id: GroupId;
  readonly span: number;
  readonly key: SketchKey;
  readonly sketchLength: number;
  /** Its parts are added in this order. */
  readonly parts: number;
}

/** One task and the groups that must be finished before it. */
export type Step =
  | { readonly task: Omit<ShareTask, "sketches">; readonly needs: readonly GroupId[] }
  | { readonly task: Omit<ResidualTask, "sketches">; readonly needs: readonly GroupId[] }
  | { readonly task: Omit<SumTask, "sketches">; readonly needs: readonly GroupId[]; readonly makes: SumPart }
  | { readonly task: DigestTask; readonly needs: readonly GroupId[]; readonly expects: ExpectedDigest };

/** Which part of which group a sum is. */
export interface SumPart {
  readonly group: GroupId;
  readonly part: number;
}

/** A digest that an adapter vouches for. */
export interface ExpectedDigest {
  readonly name: string;
  readonly sha256: string;
  readonly file: string;
  readonly overruled: boolean;
}

/** Everything there is to do, in an order in which a single worker would do it. */
export interface Steps {
  readonly steps: readonly Step[];
  readonly groups: ReadonlyMap<GroupId, GroupSteps>;
  /** Shares of each file, by index of the file. */
  readonly shareCounts: readonly number[];
}

/**
 * Cuts a plan.
 *
 * A group of rows that is too large for a tile is summed before the shares that need it, by as many workers as there
 * are; a smaller one by whoever needs it, in its own tile.
 *
 * @param shareByteLength  whole pieces
 */
export function stepsOf(plan: MergePlan, tileByteLength: number, shareByteLength: number): Steps {
  const steps: Step[] = plan.expected.map(({ name, locator, sourceOffset, byteLength, sha256, file, overruled }) => ({
    task: { kind: "digest", locator, offset: sourceOffset, byteLength },
    needs: [],
    expects: { name, sha256, file, overruled },
  }));
  const groups = new Map<GroupId, GroupSteps>();
  const shareCounts = plan.files.map((file, index) => {
    const large = new LargeGroups(file, index, tileByteLength);
    let count = 0;
    for (let start = 0; start < file.size; start += shareByteLength) {
      const end = Math.min(file.size, start + shareByteLength);
      const needs = large.before(start, end, steps, groups);
      steps.push({ task: { kind: "share", file: index, start, end }, needs });
      count++;
    }
    return count;
  });
  return { steps, groups, shareCounts };
}

/** The large groups of one file, each summed before the first task that needs it. */
export class LargeGroups {
  readonly #file: PlannedFile;
  readonly #index: number;
  readonly #tileByteLength: number;

  /** @param index  the file's, in the assignment */
  constructor(file: PlannedFile, index: number, tileByteLength: number) {
    this.#file = file;
    this.#index = index;
    this.#tileByteLength = tileByteLength;
  }

  /** The groups that bytes `[start, end)` need; those that are new are added with their sums. */
  before(start: number, end: number, steps: Step[], groups: Map<GroupId, GroupSteps>): GroupId[] {
    const needs: GroupId[] = [];
    for (const [index, span] of this.#file.spans.entries()) {
      if (span.kind !== "tensor" || span.offset >= end || span.offset + span.byteLength <= start) continue;
      const rowByteLength = span.byteLength / span.rowCount;
      const firstRow = Math.floor(Math.max(0, start - span.offset) / rowByteLength);
      const lastRow = Math.ceil(Math.min(span.byteLength, end - span.offset) / rowByteLength);
      needs.push(
        ...this.#ofRows(span, index, span.stages.length, { start: firstRow, count: lastRow - firstRow }, steps, groups),
      );
    }
    return needs;
  }

  /** The large groups of the first `stageCount` stages that rows lie in. */
  #ofRows(
    span: TensorSpan,
    spanIndex: number,
    stageCount: number,
    rows: RowRun,
    steps: Step[],
    groups: Map<GroupId, GroupSteps>,
  ): GroupId[] {
    const needs = new Set<GroupId>();
    for (const [stage, specs] of span.stages.slice(0, stageCount).entries()) {
      for (const [op, spec] of specs.entries()) {
        if (spec.groupNeed !== "sketch" || isResident(spec, span, this.#tileByteLength)) continue;
        for (const run of regionRuns(spec.region.runs, rows)) {
          const last = Math.floor((run.regionRow + run.count - 1) / spec.groupRows);
          for (let group = Math.floor(run.regionRow / spec.groupRows); group <= last; group++) {
            const key = sketchKey(stage, op, group);
            const id = `${this.#index}/${spanIndex}/${key}`;
            needs.add(id);
            if (groups.has(id)) continue;
            const spans = groupSpans(spec, group);
            groups.set(id, { id, span: spanIndex, key, sketchLength: spec.sketchLength, parts: spans.length });
            for (const [part, rows] of spans.entries()) {
              // The rows as the earlier stages leave them.
              const earlier = storedRuns(spec.region.runs, rows).flatMap(({ storedRow, count }) =>
                this.#ofRows(span, spanIndex, stage, { start: storedRow, count }, steps, groups)
              );
              steps.push({
                task: { kind: "sum", file: this.#index, span: spanIndex, stage, op, rows },
                needs: [...new Set(earlier)],
                makes: { group: id, part },
              });
            }
          }
        }
      }
    }
    return [...needs];
  }
}
