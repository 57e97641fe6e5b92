/** A whole merge on this machine: from paths to a merged folder in its place. */
import { EtherError } from "../error.ts";
import { TILE_BYTES, tileByteLengthWithin } from "../execute/memory.ts";
import { type MergeOptions, type MergeReport, runMerge } from "../execute/run_merge.ts";
import type { MergePlan } from "../plans/plan.ts";
import type { Storage } from "../plans/prepare_merge.ts";
import { startDigest } from "./digest.ts";
import { openFileSource } from "./file_source.ts";
import { OutputFolder } from "./output_folder.ts";
import { defaultWorkerCount, startRunners } from "./runners.ts";

/** Files of this machine. */
export const fileStorage: Storage = { openSource: openFileSource, startDigest };

/** How a merge is written. */
export interface MergeToFolderOptions extends MergeOptions {
  /** Threads. @default one for each core, at most four */
  readonly workers?: number | undefined;
  /** Bytes for tiles and sketches over all workers. @default unbounded, with tiles of 1 MiB */
  readonly maxMemory?: number | undefined;
  /** Replace an older merged folder. @default false */
  readonly force?: boolean | undefined;
  /** Told what was found and done about it. */
  readonly onNotice?: ((message: string) => void) | undefined;
  /** What messages call the output. @default its path */
  readonly name?: string | undefined;
}

/**
 * Writes a planned merge to a folder, which appears when it is complete or not at all.
 *
 * @param path  absolute, or relative to the working directory
 * @throws {EtherError} `exists`, `locked`, `usage`, `interrupted`, and whatever reading and writing meet
 */
export async function mergeToFolder(
  plan: MergePlan,
  path: string,
  options: MergeToFolderOptions = {},
): Promise<MergeReport> {
  const { workers = defaultWorkerCount(), maxMemory, signal } = options;
  const tileByteLength = maxMemory === undefined ? TILE_BYTES : tileByteLengthWithin(plan, workers, maxMemory);
  const absolute = path.startsWith("/") ? path : `${Deno.cwd()}/${path}`;
  for (const { locator } of plan.baseFiles) {
    if (!locator.startsWith(`${absolute}/`)) continue;
    throw new EtherError("usage", "the output holds the base", { file: options.name ?? path, hint: "name another" });
  }
  const output = await OutputFolder.start(path, options);
  const assignment = { files: plan.files, output: output.root, tileByteLength };
  const runners = startRunners(workers, assignment, signal);
  try {
    const report = await runMerge(plan, output, { ...options, ...fileStorage, startDigest, runners, tileByteLength });
    signal?.throwIfAborted();
    await output.commit();
    return report;
  } catch (error) {
    await output.discard();
    if (signal?.aborted) throw new EtherError("interrupted", "stopped; nothing is left behind", { cause: error });
    throw output.inItsPlace(error);
  } finally {
    for (const runner of runners) await runner.close();
  }
}
