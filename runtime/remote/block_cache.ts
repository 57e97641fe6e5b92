/** Blocks of files elsewhere, the most recently used ones, as many as fit. */

/** Bytes of a block: what one read of a tile takes. */
export const BLOCK_BYTES = 1 << 20;
/** Bytes of all blocks, where nobody says otherwise. */
export const DEFAULT_CACHE_BYTES = 16 * BLOCK_BYTES;

/** Bounded by bytes. Who wants a block that another is fetching waits for that fetch. */
export class BlockCache {
  readonly #capacity: number;
  readonly #blocks = new Map<string, Uint8Array>();
  readonly #pending = new Map<string, Promise<Uint8Array>>();
  #byteLength = 0;

  /** @param capacity  in bytes */
  constructor(capacity: number = DEFAULT_CACHE_BYTES) {
    this.#capacity = capacity;
  }

  /** Bytes that are kept. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /**
   * A block, fetched by `load` if it is neither here nor on its way. It is shared: not to be written to.
   *
   * @throws whatever `load` throws; the failure of somebody else's fetch is met by one's own
   */
  async get(key: string, load: () => Promise<Uint8Array>): Promise<Uint8Array> {
    for (;;) {
      const block = this.#blocks.get(key);
      if (block !== undefined) {
        this.#blocks.delete(key);
        this.#blocks.set(key, block);
        return block;
      }
      const pending = this.#pending.get(key);
      if (pending === undefined) return await this.#load(key, load);
      const shared = await pending.catch(() => null);
      if (shared !== null) return shared;
    }
  }

  async #load(key: string, load: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const pending = load();
    this.#pending.set(key, pending);
    try {
      const block = await pending;
      this.#add(key, block);
      return block;
    } finally {
      this.#pending.delete(key);
    }
  }

  #add(key: string, block: Uint8Array): void {
    this.#blocks.set(key, block);
    this.#byteLength += block.byteLength;
    for (const [oldest, { byteLength }] of this.#blocks) {
      if (this.#byteLength <= this.#capacity) break;
      this.#blocks.delete(oldest);
      this.#byteLength -= byteLength;
    }
  }
}
