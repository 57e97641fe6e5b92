/** A merged folder in memory. */
import type { ByteSink } from "../../../runtime/io/sink.ts";
import type { MergeOutput } from "../../../runtime/execute/run_merge.ts";
import type { MemoryStorage } from "./memory_storage.ts";

/** Writes into a {@link MemoryStorage}, below `out/`, so that sources open what was written. */
export class MemoryOutput implements MergeOutput {
  /** What was synced, in order. */
  readonly synced: string[] = [];
  readonly #storage: MemoryStorage;

  constructor(storage: MemoryStorage) {
    this.#storage = storage;
  }

  create(path: string, size: number): Promise<void> {
    this.#storage.set(this.locate(path), new Uint8Array(size));
    return Promise.resolve();
  }

  open(path: string): ByteSink {
    const file = this.#storage.get(this.locate(path));
    return { write: (offset, bytes) => file.set(bytes, offset), close: () => {} };
  }

  sync(path: string): Promise<void> {
    this.synced.push(path);
    return Promise.resolve();
  }

  locate(path: string): string {
    return `out/${path}`;
  }
}
