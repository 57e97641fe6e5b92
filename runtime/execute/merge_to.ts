/** A merge to any output, in this thread, with nothing but Web standards. */
import { loadKernel } from "../kernel/load.ts";
import type { MergePlan } from "../plans/plan.ts";
import type { Storage } from "../plans/prepare_merge.ts";
import { Engine } from "./engine.ts";
import { TILE_BYTES } from "./memory.ts";
import { type MergeOptions, type MergeOutput, type MergeReport, runMerge } from "./run_merge.ts";

/**
 * Writes every file of a planned merge, and the manifest last, to an output of the caller's.
 *
 * @throws {EtherError} `base_mismatch`, `verify_failed`, and whatever the output throws; the signal's reason
 */
export async function mergeTo(
  plan: MergePlan,
  output: MergeOutput,
  storage: Storage,
  options: MergeOptions = {},
): Promise<MergeReport> {
  const assignment = { files: plan.files, output: null, tileByteLength: TILE_BYTES };
  const host = { ...storage, kernel: loadKernel(), openSink: (path: string) => output.open(path) };
  const engine = new Engine(host, assignment, options.signal);
  try {
    return await runMerge(plan, output, { ...options, ...storage, runners: [engine], tileByteLength: TILE_BYTES });
  } finally {
    engine.close();
  }
}
