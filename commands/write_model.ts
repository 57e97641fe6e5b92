/** What `merge` and `unmerge` share: the checks, the plan, and the writing of a model. */
import { isOfficial } from "../runtime/adapters/official/find.ts";
import type { Model } from "../runtime/checkpoints/model.ts";
import { openPlace } from "../runtime/deno/file_folder.ts";
import { mergeWithKernel } from "../runtime/deno/merge_folder.ts";
import { BESIDE_OUTPUT, checkOutputPlace } from "../runtime/deno/output_folder.ts";
import type { Places } from "../runtime/deno/places.ts";
import { BESIDE_RECEIPT, checkReceiptPlace } from "../runtime/deno/receipt_file.ts";
import { ThreadStock } from "../runtime/deno/thread_stock.ts";
import { defaultWorkerCount } from "../runtime/deno/worker_limit.ts";
import { EtherError } from "../runtime/error.ts";
import { DEVICE_TILE_BYTES, TILE_BYTES, tileByteLengthWithin, workerByteLength } from "../runtime/execute/memory.ts";
import type { MergeReport } from "../runtime/execute/run_merge.ts";
import { baseNameOf } from "../runtime/io/folder.ts";
import { MANIFEST_FILE } from "../runtime/plans/manifest.ts";
import type { Kernel } from "../runtime/kernel/kernel.ts";
import { loadKernel } from "../runtime/kernel/load.ts";
import type { MergePlan } from "../runtime/plans/plan.ts";
import { type PreparedMerge, prepareMerge } from "../runtime/plans/prepare_merge.ts";
import { isReference } from "../runtime/remote/reference.ts";
import { dtypeOf, strengthsFor } from "./flags.ts";
import { resolveInput } from "./inputs.ts";
import { isWithin, realPathOf, resolvePath } from "./paths.ts";
import { ProgressLine } from "./progress_line.ts";
import type { CommandContext, CommonFlags } from "./run_command.ts";
import { formatBytes, formatCount, formatCounted, formatSeconds, parseSize } from "./units.ts";

/** Flags that `merge` and `unmerge` share. */
export interface WriteFlags extends CommonFlags {
  readonly base: string;
  readonly adapter: readonly string[];
  readonly output: string;
  readonly config?: string | undefined;
  readonly dtype: string;
  readonly strength?: readonly string[] | undefined;
  readonly workers?: number | undefined;
  readonly backend?: string | undefined;
  readonly maxMemory?: string | undefined;
  readonly untie?: true | undefined;
  readonly verify?: true | undefined;
  readonly sha256?: true | undefined;
  readonly allowBaseMismatch?: true | undefined;
  readonly force?: true | undefined;
  readonly dryRun?: true | undefined;
}

/** What a command wants beyond the shared flags. */
export interface WriteOptions {
  /** Opens base and adapters. */
  readonly places: Places;
  /** Undo the adapters. */
  readonly undo: boolean;
  /** With a receipt, which puts right what undoing enlarges. */
  readonly exact?: boolean | undefined;
  /** Where a receipt is to be written: its path, and what messages call it. */
  readonly receipt?: { readonly path: string; readonly name: string } | undefined;
  /** Other inputs, which the output must not touch. */
  readonly inputs?: readonly Input[] | undefined;
  /** The last word on the plan, before anything is written. */
  readonly adjust?: ((prepared: PreparedMerge) => Promise<MergePlan>) | undefined;
}

/** A path that is read, and what it is in a message. */
type Input = readonly [path: string, what: string];

/** What was written. */
export interface Written {
  readonly model: Model;
  readonly plan: MergePlan;
  readonly report: MergeReport;
  readonly seconds: number;
}

/** Writes a model; null where `--dry-run` has said what would be done. */
export async function writeModel(
  flags: WriteFlags,
  options: WriteOptions,
  context: CommandContext,
): Promise<Written | null> {
  const { console, signal } = context;
  const strengths = strengthsFor(flags.adapter.length, flags.strength ?? []);
  const maxMemory = flags.maxMemory === undefined ? undefined : parseSize(flags.maxMemory, "--max-memory");
  const basePath = resolveInput(flags.base, "--base");
  const adapterPaths = flags.adapter.map((path) => resolveInput(path, "--adapter"));
  const outputPath = resolvePath(flags.output, "--output");

  const places = options.places;
  const base = await places.open(basePath, flags.base);
  const adapters = [];
  for (const [i, path] of adapterPaths.entries()) {
    adapters.push({ place: await places.open(path, flags.adapter[i]!), strength: strengths[i] });
  }
  const litConfig = flags.config === undefined
    ? undefined
    : await openPlace(resolvePath(flags.config, "--config"), flags.config);
  if (litConfig !== undefined && !(await Promise.all(adapters.map(({ place }) => isOfficial(place)))).includes(true)) {
    throw new EtherError("usage", "no adapter is a .pth checkpoint", { field: "--config", hint: "leave it out" });
  }
  const named: Input[] = [
    [basePath, "the base"],
    ...adapterPaths.map((path) => [path, "an adapter"] as const),
    ...options.inputs ?? [],
  ];
  // What is elsewhere is apart.
  const inputs = named.filter(([path]) => !isReference(path));
  checkApart(outputPath, flags.output, "--output", "the output", BESIDE_OUTPUT, inputs);
  await checkOutputPlace(outputPath, flags.output, flags.force ?? false);
  if (options.receipt !== undefined) {
    const { path, name } = options.receipt;
    const output = ["", ...BESIDE_OUTPUT].map((suffix) => [outputPath + suffix, "the output"] as const);
    checkApart(path, name, "--receipt", "the receipt", BESIDE_RECEIPT, [...output, ...inputs]);
    await checkReceiptPlace(path, name, flags.force ?? false);
  }

  const gpu = flags.backend === "webgpu" ? await openGpuHere() : null;
  if (gpu !== null) console.detail(`webgpu: ${gpu.name}, as it was asked for`);
  else console.detail("wasm: its bytes are everywhere the same, which other backends cannot promise");
  // A device takes its work from one thread.
  const workers = gpu !== null ? 1 : flags.workers ?? defaultWorkerCount();
  // They start while base and adapters are read; after an error the process ends, and they with it.
  const threads = new ThreadStock(flags.dryRun ? 0 : Math.min(workers, defaultWorkerCount()) - 1);
  const prepared = await prepareMerge({
    ...{ base, adapters, dtype: dtypeOf(flags.dtype) ?? undefined, untie: flags.untie },
    ...{ allowBaseMismatch: flags.allowBaseMismatch, litConfig, signal },
    ...{ undo: options.undo, exact: options.exact, receipt: options.receipt !== undefined },
  }, places.storage);
  const plan = await options.adjust?.(prepared) ?? prepared.plan;
  for (const warning of plan.warnings) console.warn(warning);
  if (plan.leftOut.length > 0) console.note(`left out, as they hold the base's weights: ${plan.leftOut.join(", ")}`);

  const usualTile = gpu === null ? TILE_BYTES : DEVICE_TILE_BYTES;
  const tileByteLength = maxMemory === undefined ? usualTile : tileByteLengthWithin(plan, workers, maxMemory);
  const memory = workers * workerByteLength(plan, tileByteLength);
  if (flags.dryRun) {
    gpu?.close();
    reportPlan(plan, flags, { memory, workers, receipt: options.receipt?.name }, context);
    return null;
  }
  console.detail(`${formatCounted(workers, "worker")}, ${formatBytes(memory)} for tiles and sketches`);

  const progress = new ProgressLine(flags.quiet === true);
  const started = performance.now();
  const report = await mergeWithKernel(plan, outputPath, {
    ...{
      workers,
      maxMemory,
      force: flags.force,
      sha256: flags.sha256,
      verify: flags.verify,
      signal,
      name: flags.output,
      receipt: options.receipt,
      threads,
      places,
    },
    onProgress: progress.update,
    onNotice: (message) => console.note(message),
  }, gpu?.kernel()).finally(() => {
    progress.end();
    threads.close();
    gpu?.close();
  });
  const seconds = (performance.now() - started) / 1000;
  for (const warning of report.warnings) console.warn(warning);

  return { model: prepared.model, plan, report, seconds };
}

/** A GPU that was asked for: it does the work, or nobody. */
async function openGpuHere(): Promise<{ name: string; kernel(): Kernel; close(): void }> {
  // Read when it is asked for: what an `import` with its path written out could reach is read at every start.
  const [gpuModule, kernelModule] = ["../runtime/webgpu/gpu.ts", "../runtime/webgpu/kernel.ts"];
  const { openGpu }: typeof import("../runtime/webgpu/gpu.ts") = await import(gpuModule);
  const { WebGpuKernel }: typeof import("../runtime/webgpu/kernel.ts") = await import(kernelModule);
  const gpu = await openGpu();
  return { name: gpu.name, kernel: () => new WebGpuKernel(gpu, loadKernel()), close: () => gpu.close() };
}

/** What both commands print of a written model with `--json`. */
export function documentOf({ plan, report, seconds }: Written, flags: WriteFlags): Record<string, unknown> {
  const { transformed, copiedCount, castCount } = plan;
  return {
    ...{ output: flags.output, manifest: `${flags.output.replace(/\/+$/, "")}/${MANIFEST_FILE}` },
    ...{ transformed: transformed.length, copied: copiedCount, cast: castCount, bytes: report.byteLength, seconds },
  };
}

/** What both print without. @param done  "merged" or "unmerged" */
export function printWritten(
  { model, plan, report, seconds }: Written,
  done: string,
  flags: WriteFlags,
  { console }: CommandContext,
): void {
  const { transformed, copiedCount, castCount } = plan;
  const total = transformed.length + copiedCount + castCount;
  console.result(
    `${done} ${formatCount(transformed.length)} of ${formatCount(total)} tensors of ${model.name} into ${flags.output}`,
  );
  const rate = `${formatBytes(report.byteLength / seconds)}/s`;
  console.result(
    `${formatBytes(report.byteLength)} in ${formatSeconds(seconds)}, ${rate}${report.verified ? ", verified" : ""}`,
  );
}

/** O that is, contains or lies in an input would be read while it is written; what lies beside O, cleared before. */
function checkApart(
  outputPath: string,
  name: string,
  field: string,
  what: string,
  beside: readonly string[],
  inputs: readonly Input[],
): void {
  const details = { file: name, field, hint: "name another" };
  for (const [path, input] of inputs) {
    const read = realPathOf(path);
    for (const suffix of ["", ...beside]) {
      const output = realPathOf(outputPath + suffix);
      if (!isWithin(output, read) && !isWithin(read, output)) continue;
      const relation = output === read ? "is" : isWithin(output, read) ? "lies in" : "contains";
      const subject = suffix === "" ? what : `${baseNameOf(outputPath)}${suffix}, which a merge makes anew,`;
      throw new EtherError("usage", `${subject} ${relation} ${input}`, details);
    }
  }
}

function reportPlan(
  plan: MergePlan,
  flags: WriteFlags,
  { memory, workers, receipt }: { memory: number; workers: number; receipt: string | undefined },
  { console, json }: CommandContext,
): void {
  const bytes = [...plan.files, ...plan.smallFiles].reduce((sum, { size }) => sum + size, 0);
  if (json) {
    return console.result(JSON.stringify({
      output: flags.output,
      transformed: plan.transformed,
      ...{ copied: plan.copiedCount, cast: plan.castCount, left_out: plan.leftOut, bytes, memory, workers },
      files: [...plan.files, ...plan.smallFiles].map(({ path, size }) => ({ path, size })),
      ...receipt === undefined ? {} : { receipt: { path: receipt } },
      warnings: plan.warnings,
    }));
  }
  for (const { name, ops } of plan.transformed) console.result(`transform  ${name}  ${ops.join(" then ")}`);
  console.result(`copy       ${formatCounted(plan.copiedCount, "tensor")} unchanged`);
  if (plan.castCount > 0) console.result(`cast       ${formatCounted(plan.castCount, "tensor")} to ${flags.dtype}`);
  for (const path of plan.leftOut) console.result(`leave out  ${path}`);
  const fileCount = plan.files.length + plan.smallFiles.length + 1;
  console.result(`write      ${formatBytes(bytes)} in ${fileCount} files to ${flags.output}`);
  if (receipt !== undefined) console.result(`receipt    ${receipt}, of a size that the merge tells`);
  console.result(`memory     ${formatBytes(memory)} for tiles and sketches of ${formatCounted(workers, "worker")}`);
}
