/** `verify`: holds a merged folder against its manifest, or an adapter against a base. */
import { openPlace } from "../runtime/deno/file_folder.ts";
import { openFileSource } from "../runtime/deno/file_source.ts";
import { fileStorage } from "../runtime/deno/merge_folder.ts";
import { defaultWorkerCount, startRunners } from "../runtime/deno/runners.ts";
import { EtherError } from "../runtime/error.ts";
import { TILE_BYTES } from "../runtime/execute/memory.ts";
import { verifyFiles } from "../runtime/execute/verify.ts";
import { readSmall } from "../runtime/checkpoints/model.ts";
import { MANIFEST_FILE, parseManifest } from "../runtime/plans/manifest.ts";
import { prepareMerge } from "../runtime/plans/prepare_merge.ts";
import { resolvePath } from "./paths.ts";
import { ProgressLine } from "./progress_line.ts";
import type { CommandContext, CommonFlags } from "./run_command.ts";
import { formatBytes, formatCounted } from "./units.ts";

/** Flags of `verify`. */
export interface VerifyFlags extends CommonFlags {
  readonly base?: string | undefined;
  readonly workers?: number | undefined;
}

/** Verifies; whatever differs is an error. */
export async function verify(path: string, flags: VerifyFlags, context: CommandContext): Promise<void> {
  if (flags.base !== undefined) return await verifyAdapter(path, flags.base, context);
  const { console, signal } = context;
  const { folder, file } = await openPlace(resolvePath(path, "PATH"), path);
  const manifest = (await folder.list()).find((entry) => entry.path === MANIFEST_FILE);
  if (file !== null || manifest === undefined) {
    const hint = "verify takes a folder that merge wrote; an adapter with --base";
    throw new EtherError("not_found", `no ${MANIFEST_FILE}`, { file: path, hint });
  }
  const files = parseManifest(await readSmall(folder, manifest, openFileSource), `${path}/${MANIFEST_FILE}`);
  const assignment = { files: [], output: null, tileByteLength: TILE_BYTES };
  const runners = startRunners(flags.workers ?? defaultWorkerCount(), assignment, signal);
  const progress = new ProgressLine(flags.quiet === true);
  try {
    await verifyFiles(files, (file) => folder.locate(file), {
      ...fileStorage,
      ...{ runners, signal, onProgress: progress.update },
    });
  } catch (error) {
    if (!(error instanceof EtherError) || error.code !== "not_found") throw error;
    const hint = "it was there after the merge; merge again";
    throw new EtherError("verify_failed", "the file is missing", { file: error.file, hint, cause: error });
  } finally {
    progress.end();
    for (const runner of runners) await runner.close();
  }
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  if (context.json) console.result(JSON.stringify({ verified: files.length, bytes }));
  else console.result(`verified ${files.length} files, ${formatBytes(bytes)}: all as the manifest says`);
}

/** Every check that a merge makes before its first write. */
async function verifyAdapter(path: string, basePath: string, { console, json, signal }: CommandContext): Promise<void> {
  const base = await openPlace(resolvePath(basePath, "--base"), basePath);
  const adapters = [{ place: await openPlace(resolvePath(path, "PATH"), path) }];
  const { plan } = await prepareMerge({ base, adapters, signal }, fileStorage);
  for (const warning of plan.warnings) console.warn(warning);
  if (json) console.result(JSON.stringify({ fits: true, transformed: plan.transformed.length }));
  else console.result(`${path} fits ${basePath}: it changes ${formatCounted(plan.transformed.length, "tensor")}`);
}
