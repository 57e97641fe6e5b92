/** `inspect`: what a model or an adapter is made of, after every check that a merge makes before its first write. */
import { isOfficial } from "../runtime/adapters/official/find.ts";
import { PEFT_PREFIX } from "../runtime/adapters/peft_names.ts";
import { type Model, openModel, type Place, type WeightFile } from "../runtime/checkpoints/model.ts";
import { startRunners } from "../runtime/deno/runners.ts";
import { defaultWorkerCount } from "../runtime/deno/worker_limit.ts";
import { lookAt } from "../runtime/deno/file_mark.ts";
import { writeSidecar } from "../runtime/deno/sidecar.ts";
import { EtherError } from "../runtime/error.ts";
import { runAll } from "../runtime/execute/crew.ts";
import { TILE_BYTES } from "../runtime/execute/memory.ts";
import { ProgressCount } from "../runtime/execute/progress.ts";
import type { DigestTask } from "../runtime/execute/task.ts";
import type { OpenSource } from "../runtime/io/folder.ts";
import { isReference } from "../runtime/remote/reference.ts";
import { DTYPE_BITS } from "../runtime/safetensors/dtype.ts";
import { readHeader } from "../runtime/safetensors/read.ts";
import { shapeText } from "../runtime/safetensors/tensor_info.ts";
import { headState } from "../runtime/checkpoints/tied.ts";
import { placesFor, resolveInput } from "./inputs.ts";
import { inspectAdapter, type InspectAdapterFlags } from "./inspect_adapter.ts";
import { ProgressLine } from "./progress_line.ts";
import type { CommandContext } from "./run_command.ts";
import { formatBytes, formatCount, formatCounted } from "./units.ts";

/** Flags of `inspect`. */
export interface InspectFlags extends InspectAdapterFlags {
  readonly sha256?: true | undefined;
}

/** Inspects a model or an adapter. */
export async function inspect(path: string, flags: InspectFlags, context: CommandContext): Promise<void> {
  const places = placesFor({ PATH: path, "--base": flags.base }, context);
  if (flags.sha256 && isReference(path)) {
    throw new EtherError("usage", "sidecars are written beside the files", {
      field: "--sha256",
      hint: "name a folder",
    });
  }
  const place = await places.open(resolveInput(path, "PATH"), path);
  if (await isAdapter(place, places.openSource)) {
    if (flags.sha256) throw new EtherError("usage", "only a model gets sidecars", { field: "--sha256" });
    return await inspectAdapter(path, place, places, flags, context);
  }
  for (const flag of ["base", "html", "config"] as const) {
    if (flags[flag] === undefined) continue;
    const hint = `--${flag} goes with an adapter`;
    throw new EtherError("usage", "is a model, not an adapter", { file: path, field: `--${flag}`, hint });
  }
  const model = await openModel(place, places.openSource);
  const digests = flags.sha256 ? await writeSidecars(model, flags, context) : null;
  if (context.json) context.console.result(JSON.stringify(modelDocument(path, model, digests)));
  else printModel(path, model, context);
}

/** A folder is an adapter by its files' names, a file by its tensors' names; or either is an official checkpoint. */
async function isAdapter(place: Place, openSource: OpenSource): Promise<boolean> {
  if (await isOfficial(place)) return true;
  const { folder, file } = place;
  const paths = new Set((await folder.list()).map((entry) => entry.path));
  if (file === null) {
    const model = ["model.safetensors", "model.safetensors.index.json"].some((name) => paths.has(name));
    return paths.has("adapter_config.json") && !model;
  }
  if (!file.endsWith(".safetensors") || !paths.has("adapter_config.json")) return false;
  const source = await openSource(folder.locate(file));
  try {
    const { tensors } = await readHeader(source);
    return tensors.length > 0 && tensors.every(({ name }) => name.startsWith(PEFT_PREFIX));
  } finally {
    source.close();
  }
}

function printModel(path: string, model: Model, { console }: CommandContext): void {
  const tensors = [...model.tensors.values()].flat();
  const config = model.checkpoints[0]!.config;
  const dtypes = new Set(tensors.map(({ info }) => info.dtype));
  const bytes = tensors.reduce((sum, { info }) => sum + info.byteLength, 0);
  console.result(`model      ${path}`);
  if (config !== null) {
    const name = config.architecture ?? config.modelType ?? "unknown";
    console.result(`config     ${name}${config.quantized ? ", quantised: adapters cannot change it" : ""}`);
  }
  console.result(`parameters ${formatCount(parameterCount(model))} in ${formatCounted(tensors.length, "tensor")}`);
  console.result(`weights    ${formatBytes(bytes)} of ${[...dtypes].join(", ")}`);
  if (headState(model).tied) console.result("head       shares the input embedding's weight");
  const files = model.checkpoints.flatMap((checkpoint) => checkpoint.files);
  const shards = files.map((file) => [file.path, formatCount(file.header.tensors.length), formatBytes(file.size)]);
  console.table(["file", "tensors", "size"], shards);
  const rows = tensors.map(({ info }) => [info.name, info.dtype, `[${shapeText(info)}]`]);
  console.table(["tensor", "dtype", "shape"], rows);
  if (model.leftOut.length > 0) console.result(`a merge leaves out ${model.leftOut.join(", ")}`);
}

function modelDocument(path: string, model: Model, digests: readonly string[] | null): unknown {
  const files = model.checkpoints.flatMap((checkpoint) => checkpoint.files);
  const config = model.checkpoints[0]!.config;
  return {
    ...{ kind: "model", path, architecture: config?.architecture ?? null, model_type: config?.modelType ?? null },
    ...{ tied: headState(model).tied, quantized: config?.quantized ?? false, parameters: parameterCount(model) },
    files: files.map(({ path, size, header, sha256 }, i) => ({
      ...{ path, size, tensors: header.tensors.length, sha256: digests?.[i] ?? sha256 },
    })),
    tensors: [...model.tensors.values()].flat().map(({ info, file }) => ({
      ...{ name: info.name, dtype: info.dtype, shape: info.shape, file: file.path, bytes: info.byteLength },
    })),
    ...{ small_files: model.smallFiles.map((entry) => entry.path), left_out: model.leftOut },
  };
}

function parameterCount(model: Model): number {
  return [...model.tensors.values()].flat().reduce((sum, { info }) => {
    return sum + info.byteLength * 8 / DTYPE_BITS[info.dtype];
  }, 0);
}

async function writeSidecars(model: Model, flags: InspectFlags, { signal }: CommandContext): Promise<string[]> {
  const files: WeightFile[] = model.checkpoints.flatMap((checkpoint) => checkpoint.files);
  const tasks = files.map(({ locator, size }): DigestTask => ({
    kind: "digest",
    locator,
    offset: 0,
    byteLength: size,
  }));
  const marks = files.map(({ locator }) => lookAt(locator)?.mark);
  const progress = new ProgressLine(flags.quiet === true);
  const count = new ProgressCount(progress.update, "sha256", files.reduce((sum, { size }) => sum + size, 0));
  const runners = startRunners(defaultWorkerCount(), { files: [], output: null, tileByteLength: TILE_BYTES }, signal);
  try {
    const digests = (await runAll(tasks, runners, count.add, signal)).map(({ sha256 }) => sha256);
    for (const [i, { locator }] of files.entries()) await writeSidecar(locator, digests[i]!, marks[i]);
    return digests;
  } finally {
    progress.end();
    for (const runner of runners) await runner.close();
  }
}
