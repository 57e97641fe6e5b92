/** Everything that comes before the first write: opens base and adapters, makes every check, and plans. */
import { type Adapter, openAdapter } from "../adapters/adapter.ts";
import { Targets } from "../adapters/target.ts";
import { type Model, openModel, type Place } from "../checkpoints/model.ts";
import { EtherError } from "../error.ts";
import type { StartDigest } from "../io/digest.ts";
import type { OpenSource } from "../io/folder.ts";
import type { CompiledAdapter, CompileOptions, Stage } from "../methods/method.ts";
import { methodOf } from "../methods/registry.ts";
import { FLOAT_DTYPES, type FloatDtype } from "../safetensors/dtype.ts";
import { undoFiles } from "../receipts/undo_files.ts";
import { checkInvertible } from "./check_invertible.ts";
import type { AdapterUse, MergePlan } from "./plan.ts";
import { planMerge } from "./plan_merge.ts";

/** What is to be merged. */
export interface MergeRequest {
  /** The model, or where it is. */
  readonly base: Place | Model;
  /** In order of application. */
  readonly adapters: readonly AdapterRequest[];
  /** The dtype of every float tensor of the output. @default each one's own */
  readonly dtype?: FloatDtype | undefined;
  /** Give a tied head a weight of its own. @default false */
  readonly untie?: boolean | undefined;
  /** Merge although a fingerprint says that the base is another one. @default false */
  readonly allowBaseMismatch?: boolean | undefined;
  /** `lit_config.json` of the official checkpoints among the adapters. @default beside each, or one folder up */
  readonly litConfig?: Place | undefined;
  /** Undo the adapters, which were merged into the base in the order given. @default false */
  readonly undo?: boolean | undefined;
  /** A receipt will put right what undoing gets wrong: it may enlarge rounding errors by any factor. @default false */
  readonly exact?: boolean | undefined;
  /** Plan a receipt of the merge: every adapter must have an inverse. @default false */
  readonly receipt?: boolean | undefined;
  /** Stops it between two adapter tensors. */
  readonly signal?: AbortSignal | undefined;
}

/** One adapter and how strongly it is applied. */
export interface AdapterRequest {
  /** Where the adapter is. */
  readonly place: Place;
  /** Multiplies the strength in the adapter's config; any finite number. @default 1 */
  readonly strength?: number | undefined;
}

/** How files are reached. */
export interface Storage {
  /** Opens files. */
  readonly openSource: OpenSource;
  /** Starts digests. */
  readonly startDigest: StartDigest;
}

/** An opened adapter and what it does to the base. */
export interface PreparedAdapter {
  /** The opened adapter. */
  readonly adapter: Adapter;
  /** Its Ops, or those that undo it. */
  readonly compiled: CompiledAdapter;
  /** As it was asked for. */
  readonly strength: number;
}

/** A merge that has passed every check. */
export interface PreparedMerge {
  /** The opened base. */
  readonly model: Model;
  /** The opened adapters, in order of application. */
  readonly adapters: readonly PreparedAdapter[];
  /** What a merge would write. */
  readonly plan: MergePlan;
  /** How much undoing enlarges rounding errors in the worst tensor; 1 where nothing is undone, now or by a receipt. */
  readonly amplification: number;
}

/**
 * Opens, checks and plans a merge. Reads headers, configs and adapter tensors; of the base's weights not a byte.
 *
 * @throws {EtherError} whatever is wrong with base, adapters or their fit
 */
export async function prepareMerge(request: MergeRequest, storage: Storage): Promise<PreparedMerge> {
  const { openSource, startDigest } = storage;
  if (request.dtype !== undefined && !FLOAT_DTYPES.includes(request.dtype)) {
    throw new EtherError("usage", `${request.dtype} is not one of ${FLOAT_DTYPES.join(", ")}`, { field: "--dtype" });
  }
  const model = await modelOf(request.base, openSource);
  const targets = new Targets(model, request.untie ?? false);
  const undo = request.undo ?? false;
  const adapters: PreparedAdapter[] = [];
  const undoing: Stage[] = [];
  for (const { place, strength = 1 } of request.adapters) {
    request.signal?.throwIfAborted();
    if (!Number.isFinite(strength)) {
      throw new EtherError("usage", `strength ${strength} is not a finite number`, { field: "--strength" });
    }
    const adapter = await openAdapter(place, openSource, startDigest, { litConfig: request.litConfig, base: model });
    const options: CompileOptions = {
      ...{ targets, strength, undo, allowBaseMismatch: request.allowBaseMismatch ?? false },
      ...{ openSource, signal: request.signal },
    };
    const compiled = await methodOf(adapter).compile(adapter, options);
    adapters.push({ adapter, compiled, strength });
    const undone = undo || !request.receipt
      ? compiled
      : await methodOf(adapter).compile(adapter, { ...options, undo: true });
    undoing.unshift(...undone.stages);
  }
  const exact = request.receipt === true || request.exact === true;
  const amplification = undo || request.receipt ? checkInvertible(undoing, exact) : 1;
  const inOrder = undo ? adapters.toReversed() : adapters;
  const inputs = request.adapters.map(({ place: { folder, file } }) => folder.locate(file ?? ""));
  inputs.push(...adapters.map(({ adapter }) => adapter.locator));
  // The files of a model are inputs of the plan as they are.
  if (!model.singleFile) inputs.push(model.folder.locate(""));
  let plan: MergePlan = {
    ...planMerge({ targets, adapters: inOrder, dtype: request.dtype ?? null }),
    ...{ inputs, undo },
  };
  if (request.receipt) {
    plan = { ...plan, receipt: { undoFiles: undoFiles(plan.files, undoing), adapters: usesOf(adapters) } };
  }
  if (request.untie && targets.untied === null) {
    plan = { ...plan, warnings: [...plan.warnings, `${model.name}: nothing to untie`] };
  }
  return { model, adapters, plan, amplification };
}

/** The model that is meant; one that is open already is not opened again. @throws {EtherError} see `openModel` */
export async function modelOf(base: Place | Model, openSource: OpenSource): Promise<Model> {
  return "checkpoints" in base ? base : await openModel(base, openSource);
}

/** What a receipt says of adapters, in order of application. */
export function usesOf(adapters: readonly PreparedAdapter[]): AdapterUse[] {
  return adapters.map(({ adapter, strength }) => ({ digest: `sha256:${adapter.digest}`, strength }));
}
