/** Files in memory as storage: where there is no file system, as in a browser or a worker. */
import type { Place } from "../checkpoints/model.ts";
import { EtherError } from "../error.ts";
import type { MergeOutput } from "../execute/run_merge.ts";
import type { StartDigest } from "../io/digest.ts";
import { baseNameOf, type Folder, type FolderEntry, type OpenSource, parentOf } from "../io/folder.ts";
import type { ByteSink } from "../io/sink.ts";
import { MemorySource } from "../io/source.ts";
import type { Storage } from "../plans/prepare_merge.ts";
import { startDigest } from "./sha256.ts";

/** Files that are read beside a file that was named alone. */
const COMPANIONS = ["config.json", "adapter_config.json"];

/**
 * Files by path, `model/config.json`. It is the storage of a merge, and gives its folders as places; a merge can write
 * into it too.
 */
export class MemoryFiles implements Storage {
  /** Starts digests, in plain JavaScript. */
  readonly startDigest: StartDigest = startDigest;
  readonly #files: Map<string, Uint8Array<ArrayBuffer>>;

  /** With some files at once. */
  constructor(files: Iterable<readonly [path: string, bytes: Uint8Array<ArrayBuffer>]> = []) {
    this.#files = new Map(files);
  }

  /** Adds or replaces a file. The bytes are not copied. */
  set(path: string, bytes: Uint8Array<ArrayBuffer>): this {
    this.#files.set(path, bytes);
    return this;
  }

  /** The bytes of a file. @throws {EtherError} `not_found` */
  get(path: string): Uint8Array<ArrayBuffer> {
    const bytes = this.#files.get(path);
    if (bytes === undefined) throw new EtherError("not_found", "no such file in memory", { file: path });
    return bytes;
  }

  /** A folder, or one `.safetensors` file with its configs beside it, as base or adapter. */
  place(path: string): Place {
    const file = this.#files.has(path) ? baseNameOf(path) : null;
    const folder = file === null ? path : parentOf(path).replace(/\/$/, "");
    return { folder: new FolderInMemory(folder, this.#files, file), file };
  }

  /** Opens a file. */
  readonly openSource: OpenSource = (locator) => new MemorySource(locator, this.get(locator));

  /** What a merge writes into: files below `folder`. */
  output(folder: string): MergeOutput {
    const locate = (path: string) => `${folder}/${path}`;
    return {
      create: (path, size) => {
        this.set(locate(path), new Uint8Array(size));
        return Promise.resolve();
      },
      open: (path): ByteSink => {
        const file = this.get(locate(path));
        return { write: (offset, bytes) => file.set(bytes, offset), close: () => {} };
      },
      sync: () => Promise.resolve(),
      locate,
    };
  }
}

class FolderInMemory implements Folder {
  readonly name: string;
  readonly #files: ReadonlyMap<string, Uint8Array>;
  readonly #prefix: string;
  readonly #only: readonly string[] | null;

  constructor(name: string, files: ReadonlyMap<string, Uint8Array>, only: string | null) {
    this.name = name;
    this.#files = files;
    this.#prefix = name === "" ? "" : `${name}/`;
    this.#only = only === null ? null : [only, ...COMPANIONS];
  }

  list(): Promise<readonly FolderEntry[]> {
    const entries: FolderEntry[] = [];
    for (const [path, { byteLength: size }] of this.#files) {
      if (!path.startsWith(this.#prefix)) continue;
      const own = path.slice(this.#prefix.length);
      if (this.#only === null || this.#only.includes(own)) entries.push({ path: own, size });
    }
    return Promise.resolve(entries.sort((a, b) => a.path < b.path ? -1 : 1));
  }

  locate(path: string): string {
    return this.#prefix + path;
  }
}
