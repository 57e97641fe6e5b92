/** `merge`: base + adapters → a merged checkpoint. */
import { openPlace } from "../runtime/deno/file_folder.ts";
import { fileStorage, mergeToFolder } from "../runtime/deno/merge_folder.ts";
import { BESIDE_OUTPUT, checkOutputPlace } from "../runtime/deno/output_folder.ts";
import { defaultWorkerCount } from "../runtime/deno/runners.ts";
import { EtherError } from "../runtime/error.ts";
import { TILE_BYTES, tileByteLengthWithin, workerByteLength } from "../runtime/execute/memory.ts";
import { baseNameOf } from "../runtime/io/folder.ts";
import { MANIFEST_FILE } from "../runtime/plans/manifest.ts";
import type { MergePlan } from "../runtime/plans/plan.ts";
import { prepareMerge } from "../runtime/plans/prepare_merge.ts";
import { dtypeOf, strengthsFor } from "./flags.ts";
import { isWithin, realPathOf, resolvePath } from "./paths.ts";
import { ProgressLine } from "./progress_line.ts";
import type { CommandContext, CommonFlags } from "./run_command.ts";
import { formatBytes, formatCount, formatCounted, formatSeconds, parseSize } from "./units.ts";

/** Flags of `merge`. */
export interface MergeFlags extends CommonFlags {
  readonly base: string;
  readonly adapter: readonly string[];
  readonly output: string;
  readonly dtype: string;
  readonly strength?: readonly string[] | undefined;
  readonly workers?: number | undefined;
  readonly maxMemory?: string | undefined;
  readonly untie?: true | undefined;
  readonly verify?: true | undefined;
  readonly sha256?: true | undefined;
  readonly allowBaseMismatch?: true | undefined;
  readonly force?: true | undefined;
  readonly dryRun?: true | undefined;
}

/** Merges, or with `--dry-run` says what would be done. */
export async function merge(flags: MergeFlags, context: CommandContext): Promise<void> {
  const { console, signal } = context;
  const strengths = strengthsFor(flags.adapter.length, flags.strength ?? []);
  const maxMemory = flags.maxMemory === undefined ? undefined : parseSize(flags.maxMemory, "--max-memory");
  const basePath = resolvePath(flags.base, "--base");
  const adapterPaths = flags.adapter.map((path) => resolvePath(path, "--adapter"));
  const outputPath = resolvePath(flags.output, "--output");

  const base = await openPlace(basePath, flags.base);
  const adapters = [];
  for (const [i, path] of adapterPaths.entries()) {
    adapters.push({ place: await openPlace(path, flags.adapter[i]!), strength: strengths[i] });
  }
  checkApart(outputPath, flags.output, [
    [basePath, "the base"],
    ...adapterPaths.map((path) => [path, "an adapter"] as const),
  ]);
  await checkOutputPlace(outputPath, flags.output, flags.force ?? false);

  const { model, plan } = await prepareMerge({
    ...{ base, adapters, dtype: dtypeOf(flags.dtype) ?? undefined, untie: flags.untie },
    ...{ allowBaseMismatch: flags.allowBaseMismatch, signal },
  }, fileStorage);
  for (const warning of plan.warnings) console.warn(warning);
  if (plan.leftOut.length > 0) console.note(`left out, as they hold the base's weights: ${plan.leftOut.join(", ")}`);

  const workers = flags.workers ?? defaultWorkerCount();
  const tileByteLength = maxMemory === undefined ? TILE_BYTES : tileByteLengthWithin(plan, workers, maxMemory);
  const memory = workers * workerByteLength(plan, tileByteLength);
  if (flags.dryRun) return reportPlan(plan, flags, memory, workers, context);
  console.detail(`${formatCounted(workers, "worker")}, ${formatBytes(memory)} for tiles and sketches`);

  const progress = new ProgressLine(flags.quiet === true);
  const started = performance.now();
  const report = await mergeToFolder(plan, outputPath, {
    ...{
      workers,
      maxMemory,
      force: flags.force,
      sha256: flags.sha256,
      verify: flags.verify,
      signal,
      name: flags.output,
    },
    onProgress: progress.update,
    onNotice: (message) => console.note(message),
  }).finally(() => progress.end());
  const seconds = (performance.now() - started) / 1000;
  for (const warning of report.warnings) console.warn(warning);

  const { transformed, copiedCount, castCount } = plan;
  if (context.json) {
    return console.result(JSON.stringify({
      ...{ output: flags.output, manifest: `${flags.output.replace(/\/+$/, "")}/${MANIFEST_FILE}` },
      ...{ transformed: transformed.length, copied: copiedCount, cast: castCount, bytes: report.byteLength, seconds },
    }));
  }
  const total = transformed.length + copiedCount + castCount;
  console.result(
    `merged ${formatCount(transformed.length)} of ${formatCount(total)} tensors of ${model.name} into ${flags.output}`,
  );
  const rate = `${formatBytes(report.byteLength / seconds)}/s`;
  console.result(
    `${formatBytes(report.byteLength)} in ${formatSeconds(seconds)}, ${rate}${flags.verify ? ", verified" : ""}`,
  );
}

/** O that is, contains or lies in an input would be read while it is written; what lies beside O, cleared before. */
function checkApart(
  outputPath: string,
  name: string,
  inputs: readonly (readonly [path: string, what: string])[],
): void {
  const details = { file: name, field: "--output", hint: "name another" };
  for (const [path, what] of inputs) {
    const input = realPathOf(path);
    for (const suffix of ["", ...BESIDE_OUTPUT]) {
      const output = realPathOf(outputPath + suffix);
      if (!isWithin(output, input) && !isWithin(input, output)) continue;
      const relation = output === input ? "is" : isWithin(output, input) ? "lies in" : "contains";
      const subject = suffix === "" ? "the output" : `${baseNameOf(outputPath)}${suffix}, which a merge makes anew,`;
      throw new EtherError("usage", `${subject} ${relation} ${what}`, details);
    }
  }
}

function reportPlan(
  plan: MergePlan,
  flags: MergeFlags,
  memory: number,
  workers: number,
  { console, json }: CommandContext,
): void {
  const bytes = [...plan.files, ...plan.smallFiles].reduce((sum, { size }) => sum + size, 0);
  if (json) {
    return console.result(JSON.stringify({
      output: flags.output,
      transformed: plan.transformed,
      ...{ copied: plan.copiedCount, cast: plan.castCount, left_out: plan.leftOut, bytes, memory, workers },
      files: [...plan.files, ...plan.smallFiles].map(({ path, size }) => ({ path, size })),
      warnings: plan.warnings,
    }));
  }
  for (const { name, ops } of plan.transformed) console.result(`transform  ${name}  ${ops.join(" then ")}`);
  console.result(`copy       ${formatCounted(plan.copiedCount, "tensor")} unchanged`);
  if (plan.castCount > 0) console.result(`cast       ${formatCounted(plan.castCount, "tensor")} to ${flags.dtype}`);
  for (const path of plan.leftOut) console.result(`leave out  ${path}`);
  const fileCount = plan.files.length + plan.smallFiles.length + 1;
  console.result(`write      ${formatBytes(bytes)} in ${fileCount} files to ${flags.output}`);
  console.result(`memory     ${formatBytes(memory)} for tiles and sketches of ${formatCounted(workers, "worker")}`);
}
