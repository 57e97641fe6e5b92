/** A case's adapters at work on activations: its base stays as it is. */
import type { ApplyBackend, ApplyDevices } from "../../runtime/apply/apply_device.ts";
import { prepareApply } from "../../runtime/apply/prepare_apply.ts";
import type { PreparedApply } from "../../runtime/apply/prepared_apply.ts";
import { openPlace } from "../../runtime/deno/file_folder.ts";
import { fileStorage } from "../../runtime/deno/merge_folder.ts";
import { adapterPaths, type GoldenActivation, type GoldenCase } from "./cases.ts";

/** Opens a case's adapters, in order, against its base. */
export async function prepareCase(
  { folder }: GoldenCase,
  backend?: ApplyBackend | ApplyDevices,
): Promise<PreparedApply> {
  const adapters = [];
  for (const path of await adapterPaths(folder)) adapters.push({ place: await openPlace(path, path) });
  const base = await openPlace(`${folder}/base.safetensors`);
  return await prepareApply({ base, adapters, backend }, fileStorage);
}

/** A target's module, as applied adapters name it. */
export function moduleOf(target: string): string {
  return target.replace(/\.weight$/, "");
}

/** What `linear` makes of a case's activations, by target. Tokens are rows there, and columns here. */
export async function applyToActivations(
  apply: PreparedApply,
  inputs: ReadonlyMap<string, GoldenActivation>,
): Promise<Map<string, Float64Array>> {
  const outputs = new Map<string, Float64Array>();
  for (const [name, { x, tokenCount }] of inputs) {
    const y = await apply.linear(moduleOf(name), Float32Array.from(transpose(x, tokenCount)));
    outputs.set(name, transpose(Float64Array.from(y), y.length / tokenCount));
  }
  return outputs;
}

/** `[rows, columns]` → `[columns, rows]`. */
function transpose(values: Float64Array, columns: number): Float64Array {
  const rows = values.length / columns;
  return values.map((_, at) => values[(at % rows) * columns + Math.floor(at / rows)]!);
}
