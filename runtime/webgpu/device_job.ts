/** One dispatch of a batch, as data. */
import type { Address } from "../kernel/kernel.ts";
import type { FloatDtype } from "../safetensors/dtype.ts";
import type { ShaderName } from "./gpu.ts";

/** Memory that a job reads, or writes: "write" where it writes every byte and reads none. */
export interface Operand {
  readonly address: Address;
  readonly byteLength: number;
  readonly access: "read" | "update" | "write";
}

/** Where things are, for a job's numbers. */
export interface Places {
  /** The first byte of an operand, in the memory that the shader sees. */
  at(operand: number): number;
  /** The job's first f32 in `results`. */
  readonly results: number;
  /** Workgroups in the first dimension. */
  readonly grid: number;
}

/** One dispatch. */
export interface DeviceJob {
  readonly shader: ShaderName;
  readonly dtype: FloatDtype;
  readonly operands: readonly Operand[];
  readonly workgroups: number;
  /** The shader's `Job`, as words. */
  numbers(places: Places): readonly number[];
  /** Values of `results` that the next job reads, and nobody else. */
  readonly passedOn?: number | undefined;
  /** Values of `results` that come back. */
  readonly sums?: { readonly count: number; done(values: Float32Array): void } | undefined;
  /** What the shader binds in the second set. */
  readonly extra?: GPUBindGroup | undefined;
}
