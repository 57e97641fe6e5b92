/** A file elsewhere, read by ranges, block by block. */
import { EtherError } from "../error.ts";
import type { ByteSource } from "../io/source.ts";
import { BLOCK_BYTES, type BlockCache } from "./block_cache.ts";
import type { RemoteFile } from "./locator.ts";
import { RangeRun, type RunParts } from "./range_run.ts";
import type { RunShelf } from "./run_shelf.ts";

/** What all sources of one storage share. */
export interface SourceParts extends RunParts {
  readonly cache: BlockCache;
  readonly shelf: RunShelf;
  /** Names this version of the file. */
  readonly version: string;
  /** Ends every read. */
  readonly signal: AbortSignal;
  /** Told when it is closed. */
  readonly onClose: () => void;
}

/** Opening one asks for nothing; the first read does. */
export class HttpSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #file: RemoteFile;
  readonly #parts: SourceParts;
  readonly #closed = new AbortController();
  readonly #signal: AbortSignal;

  constructor(file: RemoteFile, parts: SourceParts) {
    this.name = file.name;
    this.size = file.size;
    this.#file = file;
    this.#parts = parts;
    this.#signal = AbortSignal.any([parts.signal, this.#closed.signal]);
  }

  /**
   * @throws {EtherError} `io_error`, `source_changed`, `unsupported` for a host without ranges or strong ETags,
   * `host_refused`, `access_denied`, `not_found`, `interrupted`
   */
  async read(offset: number, into: Uint8Array<ArrayBufferLike>): Promise<void> {
    const end = offset + into.byteLength;
    if (end > this.size) {
      throw new EtherError("io_error", `ends at byte ${this.size}, before byte ${end}`, { file: this.name });
    }
    const last = Math.floor((end - 1) / BLOCK_BYTES);
    for (let at = offset; at < end;) {
      const index = Math.floor(at / BLOCK_BYTES);
      const key = `${index} ${this.#parts.version}`;
      const block = await this.#parts.cache.get(key, () => this.#load(index, last));
      const part = block.subarray(at - index * BLOCK_BYTES, Math.min(end - index * BLOCK_BYTES, block.byteLength));
      into.set(part, at - offset);
      at += part.byteLength;
    }
  }

  close(): void {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort(new EtherError("interrupted", "the file was closed while it was read", { file: this.name }));
    this.#parts.onClose();
  }

  /** One block, from the run that stands there, or from a new one that goes as far as the blocks up to `last`. */
  async #load(index: number, last: number): Promise<Uint8Array> {
    const { shelf, version } = this.#parts;
    const start = index * BLOCK_BYTES;
    let run = shelf.take(version, start);
    if (run === null) {
      const window = Math.max(shelf.windowAt(version, start), last - index + 1);
      run = new RangeRun(this.#file, start, Math.min(this.size, start + window * BLOCK_BYTES), this.#parts);
      shelf.noteEnd(version, run.end, window);
    }
    const block = await run.take(Math.min(BLOCK_BYTES, this.size - start), this.#signal);
    if (run.position < run.end) {
      if (this.#closed.signal.aborted) run.cancel();
      else shelf.park(version, run);
    }
    return block;
  }
}
