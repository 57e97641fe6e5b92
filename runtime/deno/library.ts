/** The library's calls on files of this machine, by path. */
import { type Adapter, openAdapter as openAdapterAt } from "../adapters/adapter.ts";
import { type Model, openModel as openModelAt } from "../checkpoints/model.ts";
import { type ApplyRequest, prepareApply as prepareApplyAt } from "../apply/prepare_apply.ts";
import type { PreparedApply } from "../apply/prepared_apply.ts";
import { streamFile, type StreamOptions } from "../execute/stream.ts";
import type { MergePlan } from "../plans/plan.ts";
import {
  type MergeRequest,
  type PreparedMerge,
  prepareMerge as prepareMergeAt,
  usesOf,
} from "../plans/prepare_merge.ts";
import { applyReceipt } from "../receipts/apply_receipt.ts";
import { openReceipt } from "../receipts/receipt.ts";
import { openPlace } from "./file_folder.ts";
import { fileStorage } from "./merge_folder.ts";

/** A merge of files of this machine. */
export interface FileMergeRequest extends Omit<MergeRequest, "base" | "adapters"> {
  /** A model's folder, or one `.safetensors` file. */
  readonly base: string;
  /** In order of application: a folder, or one `.safetensors` file with its config beside it. */
  readonly adapters: readonly { readonly path: string; readonly strength?: number | undefined }[];
}

/** Adapters of this machine for activations. */
export interface FileApplyRequest extends Omit<ApplyRequest, "base" | "adapters"> {
  /** A model's folder, or one `.safetensors` file. Without it `linear` does not work. */
  readonly base?: string | undefined;
  /** In order of application: a folder, or one `.safetensors` file with its config beside it. */
  readonly adapters: FileMergeRequest["adapters"];
}

/**
 * Opens a model: finds its weight set, reads every header and config, and checks that they agree.
 *
 * @param path  a folder, also of the Hub's cache, or a `.safetensors` file
 * @throws {EtherError} `not_found`, `unsupported_format`, `bad_index`, `bad_header`, `bad_config`, `io_error`
 */
export async function openModel(path: string): Promise<Model> {
  return await openModelAt(await openPlace(path), fileStorage.openSource);
}

/**
 * Opens an adapter: its config and its tensors' header.
 *
 * @param path  a folder, or a `.safetensors` file with `adapter_config.json` beside it
 * @throws {EtherError} `not_found`, `bad_config`, `bad_header`, `unsupported_format`, `io_error`
 */
export async function openAdapter(path: string): Promise<Adapter> {
  return await openAdapterAt(await openPlace(path), fileStorage.openSource, fileStorage.startDigest);
}

/**
 * Opens, checks and plans a merge; of the base's weights not a byte is read.
 *
 * @throws {EtherError} whatever is wrong with base, adapters or their fit
 */
export async function prepareMerge(request: FileMergeRequest): Promise<PreparedMerge> {
  const adapters = [];
  for (const { path, strength } of request.adapters) adapters.push({ place: await openPlace(path), strength });
  return await prepareMergeAt({ ...request, base: await openPlace(request.base), adapters }, fileStorage);
}

/**
 * Opens and checks adapters for activations, with their base or alone; of the base's weights not a byte is read.
 *
 * @throws {EtherError} whatever is wrong with base, adapters or their fit
 */
export async function prepareApply(request: FileApplyRequest): Promise<PreparedApply> {
  const adapters = [];
  for (const { path, strength } of request.adapters) adapters.push({ place: await openPlace(path), strength });
  const base = request.base === undefined ? undefined : await openPlace(request.base);
  return await prepareApplyAt({ ...request, base, adapters }, fileStorage);
}

/** The undoing of a merge of files of this machine. */
export interface FileUnmergeRequest extends Omit<FileMergeRequest, "undo" | "exact" | "receipt"> {
  /** The receipt of the merge: then the base comes back to the bit. @default up to what roundings became */
  readonly receipt?: string | undefined;
}

/**
 * Opens, checks and plans the undoing of a merge: `base` is the merged model, the adapters are in the order of the merge.
 *
 * @throws {EtherError} whatever {@link prepareMerge} throws; `singular` where there is no inverse; `base_mismatch` where
 * receipt, model and adapters do not belong together
 */
export async function prepareUnmerge({ receipt, ...request }: FileUnmergeRequest): Promise<PreparedMerge> {
  const prepared = await prepareMerge({ ...request, undo: true, exact: receipt !== undefined });
  if (receipt === undefined) return prepared;
  const opened = await openReceipt(receipt, receipt, fileStorage.openSource);
  return { ...prepared, plan: applyReceipt(prepared.plan, opened, usesOf(prepared.adapters)) };
}

/**
 * Streams bytes of one weight file of a planned merge, computed as they are read.
 *
 * @param file  one of `plan.files`' paths
 * @throws {EtherError} `not_found`, `usage`
 */
export function streamMerged(
  plan: MergePlan,
  file: string,
  options?: StreamOptions,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return streamFile(plan, file, fileStorage.openSource, options);
}
