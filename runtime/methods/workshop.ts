import type { Kernel } from "../kernel/kernel.ts";
import type { Arena } from "./arena.ts";
import type { TensorReader } from "./tensor_reader.ts";

/** What preparing an Op may use. */
export interface Workshop {
  readonly kernel: Kernel;
  readonly arena: Arena;
  readonly reader: TensorReader;
}
