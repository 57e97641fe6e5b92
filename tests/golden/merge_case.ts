import { openPlace } from "../../runtime/deno/file_folder.ts";
import { fileStorage, mergeToFolder } from "../../runtime/deno/merge_folder.ts";
import { prepareMerge } from "../../runtime/plans/prepare_merge.ts";
import { adapterPaths } from "./cases.ts";

/**
 * Merges one case's adapters, in order, into its base, and writes `<outFolder>/base.safetensors`.
 *
 * @throws {EtherError} the case's code; then nothing is left beside `outFolder`
 */
export async function mergeCase(caseFolder: string, outFolder: string): Promise<void> {
  const base = await openPlace(`${caseFolder}/base.safetensors`, `${caseFolder}/base.safetensors`);
  const adapters = [];
  for (const path of await adapterPaths(caseFolder)) adapters.push({ place: await openPlace(path, path) });
  const { plan } = await prepareMerge({ base, adapters }, fileStorage);
  await mergeToFolder(plan, outFolder, { workers: 1 });
}
