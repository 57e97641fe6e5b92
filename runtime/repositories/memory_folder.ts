import type { Folder, FolderEntry } from "../io/folder.ts";

/** Files in memory as a folder. */
export class MemoryFolder implements Folder {
  readonly name: string;
  readonly ownName?: string | undefined;
  readonly #files: ReadonlyMap<string, Uint8Array>;
  readonly #prefix: string;

  /**
   * @param name     what messages call it
   * @param files    by path
   * @param prefix   what stands before a path in a locator
   * @param ownName  its own name where it came from
   */
  constructor(name: string, files: ReadonlyMap<string, Uint8Array>, prefix: string, ownName?: string) {
    this.name = name;
    this.ownName = ownName;
    this.#files = files;
    this.#prefix = prefix;
  }

  list(): Promise<readonly FolderEntry[]> {
    const entries = [...this.#files].map(([path, bytes]) => ({ path, size: bytes.byteLength }));
    return Promise.resolve(entries.sort((a, b) => a.path < b.path ? -1 : 1));
  }

  locate(path: string): string {
    return this.#prefix + path;
  }
}
