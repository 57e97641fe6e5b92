import type { Address, Kernel } from "../kernel/kernel.ts";
import type { Arena } from "../methods/arena.ts";
import type { PreparedOps } from "./prepared_ops.ts";

/** What a call may use; the Ops that it needs are prepared. */
export interface ApplyShop {
  readonly kernel: Kernel;
  readonly arena: Arena;
  readonly ops: PreparedOps;
}

/** Room for some tokens while a side is applied to them. */
export interface Scratch {
  readonly kernel: Kernel;
  readonly address: Address;
  readonly byteLength: number;
}

/** As much as stays in a core's cache, and at least one token's. */
const SCRATCH_BYTES = 1 << 20;

/** Scratch for tokens of at most `length` values. */
export function takeScratch({ arena, kernel }: ApplyShop, length: number): Scratch {
  const byteLength = Math.max(SCRATCH_BYTES, 4 * length);
  return { kernel, address: arena.take(byteLength), byteLength };
}
