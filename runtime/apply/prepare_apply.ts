/** Opens and checks adapters, with or without their base, for activations. */
import { openAdapter } from "../adapters/adapter.ts";
import { Targets } from "../adapters/target.ts";
import type { Model, Place } from "../checkpoints/model.ts";
import { EtherError } from "../error.ts";
import type { CompiledActivations } from "../methods/activation.ts";
import type { CompiledAdapter } from "../methods/method.ts";
import { methodOf } from "../methods/registry.ts";
import { type AdapterRequest, modelOf, type Storage } from "../plans/prepare_merge.ts";
import { EventTurns } from "./event_turns.ts";
import { type ApplyBackend, type ApplyDevices, openApplyDevices, type StartableDevices } from "./apply_device.ts";
import { PreparedApply } from "./prepared_apply.ts";

/** Which adapters are to be applied. */
export interface ApplyRequest {
  /** The model, or where it is. Without it `in` and `out` work from the adapters' shapes alone, and `linear` does not. */
  readonly base?: Place | Model | undefined;
  /** In order of application; a call's `rows` index them. */
  readonly adapters: readonly AdapterRequest[];
  /** Let adapters act on a head that shares the embedding's weight, which stays as it is. @default false */
  readonly untie?: boolean | undefined;
  /** Apply although a fingerprint says that the base is another one. @default false */
  readonly allowBaseMismatch?: boolean | undefined;
  /** Bytes of inputs and outputs that one pass over a matrix may hold. @default 256 MiB */
  readonly passByteLength?: number | undefined;
  /**
   * Who computes {@link PreparedApply.linear}. `wasm`: the CPU, with the same bytes however tokens are split into calls.
   * `webgpu`: a GPU that keeps the base's matrices, or an error. `auto`: a GPU where it is a real one that wins a short
   * trial, and the CPU where it is not or fails. A GPU adds in another order, so that bytes differ within the bound.
   * Or devices that were opened before: then they, and the matrices on them, are shared, and stay open.
   *
   * @default "wasm"
   */
  readonly backend?: ApplyBackend | ApplyDevices | undefined;
  /** Bytes of matrices that may stay on the GPU; what goes beyond is done by the CPU. @default 8 GiB */
  readonly residentByteLength?: number | undefined;
  /** Told when the GPU has failed and the CPU goes on. */
  readonly onNotice?: ((message: string) => void) | undefined;
  /** Stops it between two adapter tensors. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens and checks adapters against a base, or alone. Reads headers, configs and adapter tensors; of the base's weights
 * not a byte.
 *
 * @throws {EtherError} whatever is wrong with base, adapters or their fit; `unsupported` for the backend `webgpu` where
 * there is no GPU
 */
export async function prepareApply(request: ApplyRequest, storage: Storage): Promise<PreparedApply> {
  const { openSource, startDigest } = storage;
  const { untie = false, allowBaseMismatch = false, passByteLength, signal } = request;
  const model = request.base === undefined ? null : await modelOf(request.base, openSource);
  const targets = model === null ? null : new Targets(model, untie);
  const withBase: CompiledAdapter[] = [];
  const alone: CompiledActivations[] = [];
  const turns = new EventTurns();
  for (const { place, strength = 1 } of request.adapters) {
    await turns.wait();
    signal?.throwIfAborted();
    if (!Number.isFinite(strength)) {
      throw new EtherError("usage", `strength ${strength} is not a finite number`, { field: "strength" });
    }
    const adapter = await openAdapter(place, openSource, startDigest, { base: model ?? undefined });
    const options = { strength, openSource, signal };
    const method = methodOf(adapter);
    if (targets === null) alone.push(await method.compileActivations(adapter, options));
    else withBase.push(await method.compile(adapter, { ...options, targets, allowBaseMismatch }));
  }
  const compiled = targets === null ? { targets, adapters: alone } : { targets, adapters: withBase };
  const { backend = "wasm" } = request;
  const parts = { openSource, startDigest, compiled, passByteLength };
  if (backend === "wasm") return new PreparedApply(parts);
  if (backend === "auto" && targets === null) {
    return new PreparedApply({ ...parts, reason: "without a base no matrix can stay on a GPU" });
  }
  if (typeof backend !== "string") {
    return new PreparedApply({ ...parts, devices: backend as StartableDevices, ownsDevices: false });
  }
  const { residentByteLength, onNotice } = request;
  const devices = await openApplyDevices({ backend, residentByteLength, onNotice });
  return new PreparedApply({ ...parts, devices: devices as StartableDevices, ownsDevices: true });
}
