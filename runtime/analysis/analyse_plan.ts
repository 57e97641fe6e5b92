/** Everything that can be said of what a planned merge does, tensor by tensor. */
import { TILE_BYTES } from "../execute/memory.ts";
import type { OnBytes } from "../execute/task.ts";
import type { OpenSource } from "../io/folder.ts";
import { loadKernel } from "../kernel/load.ts";
import { Arena } from "../methods/arena.ts";
import { TensorReader } from "../methods/tensor_reader.ts";
import type { MergePlan, TensorSpan } from "../plans/plan.ts";
import { elementByteLength } from "../safetensors/dtype.ts";
import { measureChange, type MeasuredChange } from "./measure_change.ts";
import { rankBound } from "./rank_bound.ts";
import { isEtherSpec, isStoredTransposed, type SideGeometry, sideGeometry } from "./side_geometry.ts";

/** One tensor that a merge changes. */
export interface TensorAnalysis extends MeasuredChange {
  readonly name: string;
  /** The Ops' labels. */
  readonly ops: readonly string[];
  /** Rows and columns of W as torch has it. */
  readonly out: number;
  readonly in: number;
  /** What the adapters' vectors say; empty for a method that has none. */
  readonly sides: readonly SideGeometry[];
  /** The rank of W' − W is not larger. */
  readonly rankBound: number;
}

/** How a plan is analysed. */
export interface AnalyseOptions {
  readonly openSource: OpenSource;
  /** Told how many bytes of the stored targets have been done since the last call; may make it wait. */
  readonly onBytes?: OnBytes | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Which neurons are drawn must be the same each time. */
const SEED = 20_405_271;

/** Bytes of the tensors that {@link analysePlan} reads. */
export function analysisByteLength(plan: MergePlan): number {
  return changedSpans(plan).reduce((sum, span) => {
    return sum + span.rowCount * span.columnCount * elementByteLength(span.sourceDtype);
  }, 0);
}

/** Reads every target of a plan once, in the order of the files, and writes nothing. @throws {EtherError} `io_error` */
export async function* analysePlan(plan: MergePlan, options: AnalyseOptions): AsyncGenerator<TensorAnalysis> {
  const { openSource, onBytes, signal } = options;
  const kernel = loadKernel();
  const shop = { kernel, arena: new Arena(kernel), reader: new TensorReader(openSource) };
  try {
    for (const span of changedSpans(plan)) {
      const specs = span.stages.flat();
      const sides: SideGeometry[] = [];
      let bound = 0;
      for (const spec of specs) {
        const own = isEtherSpec(spec) ? await sideGeometry(spec, openSource) : [];
        sides.push(...own);
        bound += isEtherSpec(spec) ? rankBound(spec, own) : Infinity;
      }
      bound = Math.min(bound, span.rowCount, span.columnCount);
      const transposed = specs.some((spec) => isEtherSpec(spec) && isStoredTransposed(spec));
      const source = await openSource(span.locator);
      try {
        const measured = await measureChange(span, source, shop, {
          ...{ transposed, rankBound: bound, seed: SEED, tileByteLength: TILE_BYTES, onBytes, signal },
        });
        const [out, inner] = transposed ? [span.columnCount, span.rowCount] : [span.rowCount, span.columnCount];
        yield {
          ...{ name: span.name, ops: specs.map(({ label }) => label), out, in: inner, sides, rankBound: bound },
          ...measured,
        };
      } finally {
        source.close();
      }
    }
  } finally {
    shop.reader.close();
  }
}

function changedSpans({ files }: MergePlan): TensorSpan[] {
  return files.flatMap(({ spans }) => spans).filter((span): span is TensorSpan => {
    return span.kind === "tensor" && span.stages.length > 0;
  });
}
