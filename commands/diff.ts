/** `diff`: two models, tensor by tensor. */
import { diffByteLength, diffModels, type DiffOptions, type TensorDiff } from "../runtime/analysis/diff_models.ts";
import { openModel } from "../runtime/checkpoints/model.ts";
import { shapeText } from "../runtime/safetensors/tensor_info.ts";
import type { TensorInfo } from "../runtime/safetensors/tensor_info.ts";
import { fitRows, terminalWidth } from "./fit_table.ts";
import { placesFor, resolveInput } from "./inputs.ts";
import { longWork } from "./long_work.ts";
import { type CommandContext, type CommonFlags, EXIT_DIFFERENT } from "./run_command.ts";
import { formatCount, formatCounted } from "./units.ts";

/** Compares; 0 where every tensor is equal, 4 where one is not. */
export async function diff(a: string, b: string, flags: CommonFlags, context: CommandContext): Promise<number> {
  const { console, json, signal } = context;
  const places = placesFor({ A: a, B: b }, context);
  const { openSource } = places;
  const modelA = await openModel(await places.open(resolveInput(a, "A"), a), openSource);
  const modelB = await openModel(await places.open(resolveInput(b, "B"), b), openSource);
  const found = await longWork("compare", diffByteLength(modelA, modelB), flags.quiet === true, async (onBytes) => {
    const options: DiffOptions = { openSource, onBytes, signal };
    const diffs: TensorDiff[] = [];
    for await (const one of diffModels(modelA, modelB, options)) diffs.push(one);
    return diffs;
  });
  const equal = found.every(({ kind }) => kind === "equal");
  if (json) console.result(JSON.stringify(documentOf(a, b, found)));
  else print(found, console);
  return equal ? 0 : EXIT_DIFFERENT;
}

const KINDS = ["equal", "changed", "dtype", "shape", "missing_in_a", "missing_in_b"] as const;

function countsOf(found: readonly TensorDiff[]): Record<TensorDiff["kind"], number> {
  const counts = Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Record<TensorDiff["kind"], number>;
  for (const { kind } of found) counts[kind]++;
  return counts;
}

function documentOf(a: string, b: string, found: readonly TensorDiff[]): unknown {
  const infoOf = (info: TensorInfo | null) => info === null ? null : { dtype: info.dtype, shape: info.shape };
  return {
    ...{ equal: found.every(({ kind }) => kind === "equal"), a, b, counts: countsOf(found) },
    tensors: found.map(({ name, kind, a, b, difference }) => ({
      ...{ name, kind, a: infoOf(a), b: infoOf(b) },
      ...difference === null ? {} : {
        ...{ elements: difference.elementCount, changed: difference.changedCount, nan: difference.nanCount },
        ...{ ulp: difference.ulp, relative_norm: difference.relativeNorm },
      },
    })),
  };
}

function print(found: readonly TensorDiff[], console: CommandContext["console"]): void {
  const different = found.filter(({ kind }) => kind !== "equal");
  if (different.length > 0) {
    const columns = ["tensor", "what", "changed", "max ulp", "mean ulp", "‖B−A‖/‖A‖"];
    console.table(columns, fitRows(columns, different.map(rowOf), terminalWidth()));
    console.result("");
  }
  const counts = countsOf(found);
  const words = {
    ...{ equal: "equal", changed: "changed", dtype: "of another dtype", shape: "of another shape" },
    ...{ missing_in_a: "only in B", missing_in_b: "only in A" },
  } as const;
  const parts = KINDS.filter((kind) => counts[kind] > 0).map((kind) => `${formatCount(counts[kind])} ${words[kind]}`);
  console.result(`${formatCounted(found.length, "tensor")}${parts.length === 0 ? "" : `: ${parts.join(", ")}`}`);
}

function rowOf({ name, kind, a, b, difference }: TensorDiff): string[] {
  const what = {
    ...{ equal: () => "equal", changed: () => a!.dtype, missing_in_a: () => "only in B" },
    ...{ missing_in_b: () => "only in A", dtype: () => `${a!.dtype} → ${b!.dtype}` },
    shape: () => `[${shapeText(a!)}] → [${shapeText(b!)}]`,
  }[kind]();
  if (difference === null) return [name, what, "", "", "", ""];
  const { changedCount, elementCount, nanCount, ulp, relativeNorm } = difference;
  const share = elementCount === 0 ? "" : ` (${formatShare(changedCount / elementCount)})`;
  const nan = nanCount === 0 ? "" : `, ${formatCount(nanCount)} NaN`;
  return [
    ...[name, what, `${formatCount(changedCount)}${share}${nan}`],
    ...[ulp === null ? "" : formatCount(ulp.max), ulp === null ? "" : formatMean(ulp.mean)],
    relativeNorm === null ? "" : relativeNorm.toPrecision(3),
  ];
}

/** `86.4 %`; a little is never nothing, and almost all never all. */
function formatShare(share: number): string {
  const percent = 100 * share;
  if (percent > 0 && percent < 0.1) return "<0.1 %";
  if (percent < 100 && percent > 99.9) return ">99.9 %";
  return `${percent.toFixed(1)} %`;
}

function formatMean(mean: number): string {
  return mean < 1000 ? mean.toFixed(2) : formatCount(Math.round(mean));
}
