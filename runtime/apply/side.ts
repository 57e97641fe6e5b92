/** One side on activations: x ← Hx, or y ← H̃y. */
import type { ActivationPart } from "../methods/activation.ts";
import { EventTurns } from "./event_turns.ts";
import { transformFeatures } from "./features.ts";
import { type ApplyShop, takeScratch } from "./shop.ts";
import type { TokenGroup } from "./tokens.ts";

/** Which side of the matrix the activations are on. */
export type ActivationSide = "in" | "out";

/** The adapters' parts, and the activations. */
export interface SideJob {
  readonly side: ActivationSide;
  /** For each adapter of the call. */
  readonly adapters: readonly (readonly ActivationPart[])[];
  readonly groups: readonly TokenGroup[];
  /** f32 `[tokens, dimension]`. */
  readonly x: Float32Array;
  /** f32 `[tokens, dimension]`; filled. */
  readonly y: Float32Array;
  readonly dimension: number;
  readonly signal?: AbortSignal | undefined;
}

/** Fills `job.y`. @throws the signal's reason */
export async function transformSide(job: SideJob, shop: ApplyShop): Promise<void> {
  const { arena, kernel, ops } = shop;
  const { side, dimension, x, y, signal } = job;
  const mark = arena.mark();
  try {
    const tile = takeScratch(shop, dimension);
    const scratch = takeScratch(shop, dimension);
    const memory = new Float32Array(kernel.bytes.buffer);
    const step = Math.max(1, Math.floor(tile.byteLength / (4 * dimension)));
    const turns = new EventTurns();
    for (const { adapters, tokens } of job.groups) {
      // W·H₁…Hₖ·x: what was merged last meets x first.
      const order = side === "in" ? adapters.toReversed() : adapters;
      const parts = order.flatMap((index) => job.adapters[index]!);
      for (let done = 0; done < tokens.length; done += step) {
        await turns.wait();
        signal?.throwIfAborted();
        const count = Math.min(step, tokens.length - done);
        const start = tile.address / 4;
        for (let t = 0; t < count; t++) {
          const from = tokens[done + t]! * dimension;
          memory.set(x.subarray(from, from + dimension), start + t * dimension);
        }
        for (const part of parts) {
          if (side === "in" && part.input !== null) {
            const place = { dtype: "F32" as const, address: tile.address, rowStride: dimension * 4 };
            ops.get(part.input).transform({ ...place, rowCount: count, firstRow: 0, same: true }, null);
          } else if (side === "out" && part.output !== null) {
            const rows = [{ start: 0, count: dimension }];
            const place = { address: tile.address, rows, rowCount: dimension, tokenCount: count };
            transformFeatures(part, place, ops.get(part.output), scratch);
          }
        }
        await kernel.settle?.();
        for (let t = 0; t < count; t++) {
          const row = start + t * dimension;
          y.set(memory.subarray(row, row + dimension), tokens[done + t]! * dimension);
        }
      }
    }
  } finally {
    arena.release(mark);
  }
}
