import { openPlace } from "../../runtime/deno/file_folder.ts";
import { fileStorage, mergeWithKernel } from "../../runtime/deno/merge_folder.ts";
import type { Kernel } from "../../runtime/kernel/kernel.ts";
import { prepareMerge } from "../../runtime/plans/prepare_merge.ts";
import { adapterPaths } from "./cases.ts";

/**
 * Merges one case's adapters, in order, into its base, and writes `<outFolder>/base.safetensors`.
 *
 * @param kernel  another one than the machine's own
 * @throws {EtherError} the case's code; then nothing is left beside `outFolder`
 */
export async function mergeCase(caseFolder: string, outFolder: string, kernel?: Kernel): Promise<void> {
  const base = await openPlace(`${caseFolder}/base.safetensors`, `${caseFolder}/base.safetensors`);
  const adapters = [];
  for (const path of await adapterPaths(caseFolder)) adapters.push({ place: await openPlace(path, path) });
  const { plan } = await prepareMerge({ base, adapters }, fileStorage);
  await mergeWithKernel(plan, outFolder, { workers: 1 }, kernel);
}
