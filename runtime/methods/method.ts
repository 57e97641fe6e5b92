/** What an adapter method is: the contract that each folder of this room fills. */
import type { Adapter } from "../adapters/adapter.ts";
import type { Targets } from "../adapters/target.ts";
import type { ModelTensor } from "../checkpoints/model.ts";
import type { OpenSource } from "../io/folder.ts";
import type { FloatDtype } from "../safetensors/dtype.ts";
import type { ActivationPart, CompiledActivations } from "./activation.ts";
import type { Op, OpSpec } from "./op.ts";
import type { Workshop } from "./workshop.ts";

/** What compiling may use and must obey. */
export interface CompileOptions {
  readonly targets: Targets;
  /** What the user asks for; the config's own strength multiplies it. */
  readonly strength: number;
  readonly allowBaseMismatch: boolean;
  /** Compile what undoes the adapter on the model that it was merged into. @default false */
  readonly undo?: boolean | undefined;
  readonly openSource: OpenSource;
  readonly signal?: AbortSignal | undefined;
}

/** What compiling without a base may use. */
export type ActivationOptions = Pick<CompileOptions, "strength" | "openSource" | "signal">;

/** What one adapter does to one tensor of the base: Ops on regions that do not overlap. */
export interface Stage {
  /** The tensor of the base. */
  readonly tensor: ModelTensor;
  /** Its Ops. */
  readonly ops: readonly OpSpec[];
  /** Of a stage that undoes: how much it may enlarge a rounding error. */
  readonly amplification?: Amplification;
}

/** Vectors in f32 do not tell a block's condition above this from infinity. */
export const NO_INVERSE: number = 2 ** 24;

/** How much an inverse may enlarge a rounding error, and where most. */
export interface Amplification {
  /** The condition of what is undone: largest over smallest singular value; infinite where there is no inverse. */
  readonly factor: number;
  /** The adapter's file. */
  readonly file: string;
  /** The adapter tensor with the worst block. */
  readonly tensor: string;
  /** The worst block. */
  readonly block: number;
  /** The condition of the worst block alone: what several sides enlarge multiplies, and each can be undone all the same. */
  readonly ofBlock: number;
}

/** A base tensor whose bytes the adapter vouches for. */
export interface ExpectedTensor {
  /** The tensor of the base. */
  readonly tensor: ModelTensor;
  /** SHA-256 of its bytes in hex. */
  readonly sha256: string;
  /** The adapter's config, for messages. */
  readonly file: string;
  /** A mismatch is only a warning: the user said so. */
  readonly overruled: boolean;
}

/** An adapter, checked against a base. */
export interface CompiledAdapter {
  /** One entry for each tensor that it changes. */
  readonly stages: readonly Stage[];
  /** To be checked before the output is complete. */
  readonly expected: readonly ExpectedTensor[];
  /** What the caller should tell the user. */
  readonly warnings: readonly string[];
  /** What `inspect` and the manifest say of it, beside its type and digest. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** One adapter method. */
export interface Method {
  /** `peft_type` values that it reads. */
  readonly peftTypes: readonly string[];
  /** Every check of an adapter alone; what `inspect` shows of it. Reads the header only. */
  describe(adapter: Adapter): Promise<AdapterDescription>;
  /** Every check of an adapter against a base, and its Ops. */
  compile(adapter: Adapter, options: CompileOptions): Promise<CompiledAdapter>;
  /** The same Op on activations instead of the matrix. */
  activation(spec: OpSpec): ActivationPart;
  /** What it does to activations, where no base is at hand: every check of the adapter alone. */
  compileActivations(adapter: Adapter, options: ActivationOptions): Promise<CompiledActivations>;
  /** Reads an Op's adapter tensors and makes its state, for tiles of one dtype. */
  prepare(spec: OpSpec, shop: Workshop, dtype: FloatDtype): Promise<Op>;
}

/** An adapter without a base. */
export interface AdapterDescription {
  readonly facts: Readonly<Record<string, unknown>>;
  /** Module paths that have tensors. */
  readonly modules: readonly string[];
  readonly parameterCount: number;
  readonly warnings: readonly string[];
}
