/** A whole merge on this machine: from paths to a merged folder in its place. */
import { resolve } from "node:path";
import { EtherError } from "../error.ts";
import { DEVICE_TILE_BYTES, TILE_BYTES, tileByteLengthWithin } from "../execute/memory.ts";
import { type MergeOptions, type MergeReport, runMerge } from "../execute/run_merge.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { SHARE_BYTES } from "../execute/steps.ts";
import type { MergePlan } from "../plans/plan.ts";
import type { Storage } from "../plans/prepare_merge.ts";
import type { Runner } from "../execute/task.ts";
import { readFrom } from "../receipts/undo_files.ts";
import { startDigest } from "./digest.ts";
import { openFileSource } from "./file_source.ts";
import { OutputFolder } from "./output_folder.ts";
import type { Places } from "./places.ts";
import { isWithin, realPathOf } from "./real_path.ts";
import { ReceiptFile } from "./receipt_file.ts";
import { startRunners } from "./runners.ts";
import type { ThreadStock } from "./thread_stock.ts";
import { defaultWorkerCount, MAX_WORKERS } from "./worker_limit.ts";

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
  /** Threads that were started ahead; the caller closes what is left of them. @default none */
  readonly threads?: ThreadStock | undefined;
  /** Files elsewhere that the plan reads. @default none */
  readonly places?: Places | undefined;
  /** What messages call the output. @default its path */
  readonly name?: string | undefined;
  /** Where the receipt of a plan that has one goes. @default nowhere */
  readonly receipt?: { readonly path: string; readonly name?: string | undefined } | undefined;
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
  return await mergeWithKernel(plan, path, options);
}

/**
 * The same with another kernel than each thread's own: then this thread does all the work.
 *
 * @param kernel  @default one for each worker
 */
export async function mergeWithKernel(
  plan: MergePlan,
  path: string,
  options: MergeToFolderOptions,
  kernel?: Kernel,
): Promise<MergeReport> {
  const { maxMemory, signal } = options;
  const workers = kernel !== undefined ? 1 : usefulWorkers(options.workers ?? defaultWorkerCount(), plan);
  const tileByteLength = maxMemory === undefined
    ? kernel?.settle === undefined ? TILE_BYTES : DEVICE_TILE_BYTES
    : tileByteLengthWithin(plan, workers, maxMemory);
  checkApart(plan, path, options.name ?? path);
  const output = await OutputFolder.start(path, options);
  let receipt: ReceiptFile | null = null;
  let runners: Runner[] = [];
  try {
    if (plan.receipt !== undefined && options.receipt !== undefined) {
      receipt = await ReceiptFile.start(options.receipt.path, { ...options.receipt, force: options.force });
    }
    const undo = readFrom(plan.receipt?.undoFiles ?? [], (file) => output.locate(file));
    const assignment = { files: [...plan.files, ...undo], output: output.root, tileByteLength };
    runners = startRunners(workers, assignment, signal, options.threads, options.places, kernel);
    const report = await runMerge(plan, output, {
      ...{ ...options, ...options.places?.storage ?? fileStorage, startDigest, runners, tileByteLength },
      backend: kernel?.name === "webgpu" ? kernel.name : undefined,
      receiptSink: receipt ?? undefined,
    });
    signal?.throwIfAborted();
    // First the receipt: a merged model that is there has it.
    await receipt?.commit();
    await output.commit();
    await receipt?.finish();
    return report;
  } catch (error) {
    await receipt?.discard();
    await output.discard();
    if (signal?.aborted) throw new EtherError("interrupted", "stopped; nothing is left behind", { cause: error });
    throw output.inItsPlace(error);
  } finally {
    for (const runner of runners) await runner.close();
  }
}

/** O that is, holds or lies in what is read would be written over it. @throws {EtherError} `usage` */
function checkApart({ baseFiles, inputs = [] }: MergePlan, path: string, name: string): void {
  const output = realPathOf(resolve(path));
  for (const locator of new Set([...inputs, ...baseFiles.map(({ locator }) => locator)])) {
    // What is elsewhere is apart.
    if (!locator.startsWith("/")) continue;
    const input = realPathOf(locator);
    if (!isWithin(input, output) && !isWithin(output, input)) continue;
    const relation = input === output ? "is" : isWithin(input, output) ? "holds" : "lies in";
    throw new EtherError("usage", `the output ${relation} what is read: ${input}`, {
      file: name,
      hint: "name another",
    });
  }
}

/** Workers that a small merge gets at most; a larger one gets as many as it has shares. */
const SMALL_MERGE_WORKERS = 4;

/** As many workers as were asked for and find something to do. @throws {EtherError} `usage` */
export function usefulWorkers(asked: number, plan: MergePlan): number {
  if (!Number.isInteger(asked) || asked < 1 || asked > MAX_WORKERS) {
    throw new EtherError("usage", `${asked} is not a number of workers from 1 to ${MAX_WORKERS}`, {
      field: "--workers",
    });
  }
  const shares = plan.files.reduce((sum, { size }) => sum + Math.ceil(size / SHARE_BYTES), 0);
  return Math.min(asked, Math.max(SMALL_MERGE_WORKERS, shares));
}
