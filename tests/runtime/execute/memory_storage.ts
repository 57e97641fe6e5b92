/** Files in memory, and a count of how they are read. */
import { startDigest } from "../../../runtime/deno/digest.ts";
import type { Folder, FolderEntry } from "../../../runtime/io/folder.ts";
import { type ByteSource, MemorySource } from "../../../runtime/io/source.ts";
import type { Place } from "../../../runtime/checkpoints/model.ts";
import type { Storage } from "../../../runtime/plans/prepare_merge.ts";

/** How the sources of a {@link MemoryStorage} were read. */
export interface ReadCount {
  /** Bytes of all reads. */
  byteLength: number;
  /** Bytes of the largest one. */
  largest: number;
}

/** Files by path: `<folder>/<name>`. */
export class MemoryStorage implements Storage {
  readonly startDigest = startDigest;
  /** Reads by file. */
  readonly reads: Map<string, ReadCount> = new Map();
  readonly #files = new Map<string, Uint8Array<ArrayBuffer>>();

  set(path: string, bytes: Uint8Array<ArrayBuffer> | string): void {
    this.#files.set(path, typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes);
  }

  get(path: string): Uint8Array<ArrayBuffer> {
    const bytes = this.#files.get(path);
    if (bytes === undefined) throw new Error(`no ${path}`);
    return bytes;
  }

  /** A folder as base or adapter. */
  place(folder: string): Place {
    return { folder: new MemoryFolder(folder, this.#files), file: null };
  }

  readonly openSource = (locator: string): ByteSource => {
    const source = new MemorySource(locator, this.get(locator));
    const count = this.reads.get(locator) ?? { byteLength: 0, largest: 0 };
    this.reads.set(locator, count);
    return {
      ...{ name: locator, size: source.size, close: () => {} },
      read: (offset, into) => {
        count.byteLength += into.byteLength;
        count.largest = Math.max(count.largest, into.byteLength);
        source.read(offset, into);
      },
    };
  };
}

class MemoryFolder implements Folder {
  readonly name: string;
  readonly #files: ReadonlyMap<string, Uint8Array>;

  constructor(name: string, files: ReadonlyMap<string, Uint8Array>) {
    this.name = name;
    this.#files = files;
  }

  list(): Promise<readonly FolderEntry[]> {
    const prefix = `${this.name}/`;
    const entries = [...this.#files].filter(([path]) => path.startsWith(prefix)).map(([path, bytes]) => {
      return { path: path.slice(prefix.length), size: bytes.byteLength };
    });
    return Promise.resolve(entries.sort((a, b) => a.path < b.path ? -1 : 1));
  }

  locate(path: string): string {
    return `${this.name}/${path}`;
  }
}
