/** Output sides on activations of which each token has some features: y ← H̃y. */
import type { Address } from "../kernel/kernel.ts";
import type { ActivationPart } from "../methods/activation.ts";
import type { Op, RowRun } from "../methods/op.ts";
import { placeOf } from "./runs.ts";
import type { Scratch } from "./shop.ts";

/** Activations f32 `[tokenCount, rowCount]` in a kernel's memory, of these output features. */
export interface FeaturePlace {
  readonly address: Address;
  readonly rows: readonly RowRun[];
  readonly rowCount: number;
  readonly tokenCount: number;
}

/** Applies a part's output side to its features, which are whole groups of it, in place. */
export function transformFeatures(part: ActivationPart, place: FeaturePlace, op: Op, scratch: Scratch): void {
  const { address, rows, rowCount, tokenCount } = place;
  const length = part.output!.region.columnCount;
  const runs = part.features === "all" ? [{ start: 0, count: length }] : part.features;
  const [first] = runs;
  const tile = { dtype: "F32" as const, firstRow: 0, same: true };
  if (runs.length === 1 && rows.some((run) => contains(run, first!))) {
    const start = address + placeOf(rows, first!.start) * 4;
    op.transform({ ...tile, address: start, rowStride: rowCount * 4, rowCount: tokenCount }, null);
    return;
  }
  // They are brought together. What is not there belongs to groups that are not, and 0 stands in for it.
  const { kernel } = scratch;
  const step = Math.floor(scratch.byteLength / (4 * length));
  const pieces = commonRuns(runs, rows);
  for (let done = 0; done < tokenCount; done += step) {
    const count = Math.min(step, tokenCount - done);
    kernel.clear(scratch.address, count * length * 4);
    const apart = (second: number) => address + (done * rowCount + second) * 4;
    const strides = { together: length * 4, apart: rowCount * 4 };
    for (const { first, second, size } of pieces) {
      kernel.copyRows({
        ...{ source: apart(second), sourceStride: strides.apart, rowCount: count, byteLength: size * 4 },
        ...{ target: scratch.address + first * 4, targetStride: strides.together },
      });
    }
    op.transform({ ...tile, address: scratch.address, rowStride: length * 4, rowCount: count }, null);
    for (const { first, second, size } of pieces) {
      kernel.copyRows({
        ...{ source: scratch.address + first * 4, sourceStride: strides.together, rowCount: count },
        ...{ target: apart(second), targetStride: strides.apart, byteLength: size * 4 },
      });
    }
  }
}

/** Features that are in both, by their places in the one and in the other. */
function commonRuns(
  firsts: readonly RowRun[],
  seconds: readonly RowRun[],
): { first: number; second: number; size: number }[] {
  const common: { first: number; second: number; size: number }[] = [];
  let firstPlace = 0;
  for (const first of firsts) {
    let secondPlace = 0;
    for (const second of seconds) {
      const start = Math.max(first.start, second.start);
      const size = Math.min(first.start + first.count, second.start + second.count) - start;
      if (size > 0) {
        common.push({ first: firstPlace + start - first.start, second: secondPlace + start - second.start, size });
      }
      secondPlace += second.count;
    }
    firstPlace += first.count;
  }
  return common;
}

function contains(run: RowRun, other: RowRun): boolean {
  return run.start <= other.start && other.start + other.count <= run.start + run.count;
}
