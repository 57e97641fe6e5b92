import type { Op, OpSpec } from "../methods/op.ts";
import { methodOfOp } from "../methods/registry.ts";
import type { Workshop } from "../methods/workshop.ts";

/** State that stays prepared between calls; what goes beyond is made again. */
const KEPT_BYTES = 64 << 20;

/** Ops with their state at the bottom of the arena, so that a layer's next call finds them ready. */
export class PreparedOps {
  readonly #shop: Workshop;
  readonly #bottom: number;
  readonly #ops = new Map<OpSpec, Op>();
  #byteLength = 0;

  constructor(shop: Workshop) {
    this.#shop = shop;
    this.#bottom = shop.arena.mark();
  }

  /** Prepares all that a call needs. Nothing else may be in the arena. */
  async prepare(specs: Iterable<OpSpec>, signal?: AbortSignal): Promise<void> {
    const needed = new Set(specs);
    const missing = [...needed].filter((spec) => !this.#ops.has(spec));
    const size = (some: Iterable<OpSpec>) => [...some].reduce((sum, { stateByteLength }) => sum + stateByteLength, 0);
    const start = this.#byteLength + size(missing) > KEPT_BYTES ? needed : missing;
    if (start === needed) this.#clear();
    try {
      for (const spec of start) {
        signal?.throwIfAborted();
        this.#ops.set(spec, await methodOfOp(spec).prepare(spec, this.#shop, "F32"));
        this.#byteLength += spec.stateByteLength;
      }
    } catch (error) {
      this.#clear();
      throw error;
    }
  }

  /** One that was prepared. */
  get(spec: OpSpec): Op {
    return this.#ops.get(spec)!;
  }

  #clear(): void {
    this.#ops.clear();
    this.#byteLength = 0;
    this.#shop.arena.release(this.#bottom);
  }
}
