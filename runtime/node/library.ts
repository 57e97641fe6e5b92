/** The library's calls on files of this machine, by path, on Node and what has its interfaces. */
import { type ApplyRequest, prepareApply as prepareApplyAt } from "../apply/prepare_apply.ts";
import type { PreparedApply } from "../apply/prepared_apply.ts";
import { type Model, openModel as openModelAt } from "../checkpoints/model.ts";
import { streamFile, type StreamOptions } from "../execute/stream.ts";
import type { MergePlan } from "../plans/plan.ts";
import {
  type AdapterRequest,
  type MergeRequest,
  type PreparedMerge,
  prepareMerge as prepareMergeAt,
} from "../plans/prepare_merge.ts";
import { openPlace } from "./file_folder.ts";
import { nodeStorage } from "./file_source.ts";

/** An adapter of this machine. */
export interface AdapterPath {
  /** A folder, or one `.safetensors` file with its config beside it. */
  readonly path: string;
  /** Any finite number. @default 1 */
  readonly strength?: number | undefined;
}

/** A merge of files of this machine. */
export interface PathMergeRequest extends Omit<MergeRequest, "base" | "adapters"> {
  /** A model's folder, or one `.safetensors` file. */
  readonly base: string;
  /** In order of application. */
  readonly adapters: readonly AdapterPath[];
}

/** Adapters of this machine for activations. */
export interface PathApplyRequest extends Omit<ApplyRequest, "base" | "adapters"> {
  /** A model's folder, or one `.safetensors` file. Without it `linear` does not work. */
  readonly base?: string | undefined;
  /** In order of application. */
  readonly adapters: readonly AdapterPath[];
}

/**
 * Opens a model: finds its weight set, reads every header and config, and checks that they agree.
 *
 * @throws {EtherError} `not_found`, `unsupported_format`, `bad_index`, `bad_header`, `bad_config`, `io_error`
 */
export async function openModel(path: string): Promise<Model> {
  return await openModelAt(await openPlace(path), nodeStorage.openSource);
}

/**
 * Opens, checks and plans a merge; of the base's weights not a byte is read.
 *
 * @throws {EtherError} whatever is wrong with base, adapters or their fit
 */
export async function prepareMerge(request: PathMergeRequest): Promise<PreparedMerge> {
  const base = await openPlace(request.base);
  return await prepareMergeAt({ ...request, base, adapters: await placesOf(request.adapters) }, nodeStorage);
}

/**
 * Opens and checks adapters for activations, with their base or alone; of the base's weights not a byte is read.
 *
 * @throws {EtherError} whatever is wrong with base, adapters or their fit
 */
export async function prepareApply(request: PathApplyRequest): Promise<PreparedApply> {
  const base = request.base === undefined ? undefined : await openPlace(request.base);
  return await prepareApplyAt({ ...request, base, adapters: await placesOf(request.adapters) }, nodeStorage);
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
  return streamFile(plan, file, nodeStorage.openSource, options);
}

async function placesOf(adapters: readonly AdapterPath[]): Promise<AdapterRequest[]> {
  const requests: AdapterRequest[] = [];
  for (const { path, strength } of adapters) requests.push({ place: await openPlace(path), strength });
  return requests;
}
