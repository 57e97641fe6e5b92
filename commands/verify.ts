/** `verify`: holds a merged folder against its manifest, or an adapter against a base. */
import { openPlace } from "../runtime/deno/file_folder.ts";
import { openFileSource } from "../runtime/deno/file_source.ts";
import { ioError } from "../runtime/deno/io_error.ts";
import { fileStorage } from "../runtime/deno/merge_folder.ts";
import { startRunners } from "../runtime/deno/runners.ts";
import { defaultWorkerCount } from "../runtime/deno/worker_limit.ts";
import { EtherError } from "../runtime/error.ts";
import { TILE_BYTES } from "../runtime/execute/memory.ts";
import { verifyFiles } from "../runtime/execute/verify.ts";
import { readSmall } from "../runtime/checkpoints/model.ts";
import { fileRole } from "../runtime/checkpoints/weight_set.ts";
import { type FileDigest, MANIFEST_FILE, parseManifest } from "../runtime/plans/manifest.ts";
import { prepareMerge } from "../runtime/plans/prepare_merge.ts";
import { placesFor, resolveInput } from "./inputs.ts";
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
  const nameOf = (file: string) => `${path.replace(/\/+$/, "")}/${file}`;
  const files = parseManifest(await readSmall(folder, manifest, openFileSource), nameOf(MANIFEST_FILE));
  const extra = await extraFiles(folder.locate(""), nameOf, files);
  const weights = extra.find((file) => fileRole(file) === "weights");
  if (weights !== undefined) {
    const hint = "others may load it instead of what was merged: move it away";
    throw new EtherError("verify_failed", "weights that the manifest does not name", { file: nameOf(weights), hint });
  }
  if (extra.length > 0) console.warn(`${path}: the manifest does not name ${extra.join(", ")}`);
  const assignment = { files: [], output: null, tileByteLength: TILE_BYTES };
  const runners = startRunners(flags.workers ?? defaultWorkerCount(), assignment, signal);
  const progress = new ProgressLine(flags.quiet === true);
  try {
    await verifyFiles(files, (file) => folder.locate(file), {
      ...fileStorage,
      ...{ runners, signal, onProgress: progress.update },
    });
  } catch (error) {
    if (!(error instanceof EtherError) || error.file === undefined) throw error;
    // Some errors know a file by the manifest's path, others by where it lies.
    const found = files.find((file) => error.file === file.path || error.file === folder.locate(file.path));
    if (found === undefined) throw error;
    const { code, message, hint } = error;
    const details = { file: nameOf(found.path), hint, cause: error };
    if (code !== "not_found") throw new EtherError(code, message, details);
    throw new EtherError("verify_failed", "the file is missing", {
      ...details,
      hint: "it was there after the merge; merge again",
    });
  } finally {
    progress.end();
    for (const runner of runners) await runner.close();
  }
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  if (context.json) console.result(JSON.stringify({ verified: files.length, bytes }));
  else console.result(`verified ${files.length} files, ${formatBytes(bytes)}: all as the manifest says`);
}

/**
 * What lies in a folder beside the manifest and what it names, but for names that begin with a dot. Unlike a base's
 * list this has links that lead elsewhere: others follow them.
 */
async function extraFiles(
  root: string,
  nameOf: (file: string) => string,
  files: readonly FileDigest[],
): Promise<string[]> {
  const named = new Set([MANIFEST_FILE, ...files.map(({ path }) => path)]);
  const extra: string[] = [];
  const collect = async (parent: string): Promise<void> => {
    const children = await Array.fromAsync(Deno.readDir(root + parent)).catch((error) => {
      throw ioError(error, nameOf(parent));
    });
    for (const { name, isDirectory } of children) {
      if (name.startsWith(".")) continue;
      if (isDirectory) await collect(`${parent}${name}/`);
      else if (!named.has(parent + name)) extra.push(parent + name);
    }
  };
  await collect("");
  return extra.sort();
}

/** Every check that a merge makes before its first write. */
async function verifyAdapter(path: string, basePath: string, context: CommandContext): Promise<void> {
  const { console, json, signal } = context;
  const places = placesFor({ PATH: path, "--base": basePath }, context);
  const base = await places.open(resolveInput(basePath, "--base"), basePath);
  const adapters = [{ place: await places.open(resolveInput(path, "PATH"), path) }];
  const { plan } = await prepareMerge({ base, adapters, signal }, places.storage);
  for (const warning of plan.warnings) console.warn(warning);
  if (json) console.result(JSON.stringify({ fits: true, transformed: plan.transformed.length }));
  else console.result(`${path} fits ${basePath}: it changes ${formatCounted(plan.transformed.length, "tensor")}`);
}
