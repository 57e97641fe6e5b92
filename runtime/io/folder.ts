import type { ByteSource } from "./source.ts";

/** One regular file of a folder. */
export interface FolderEntry {
  /** Relative path with forward slashes. */
  readonly path: string;
  /** Size in bytes. */
  readonly size: number;
  /** SHA-256 in hex, where the storage knows it without reading the file (a Hub cache blob, a fresh sidecar). */
  readonly sha256?: string | undefined;
}

/** A folder of files: on disk, in memory, or a repository elsewhere. */
export interface Folder {
  /** What messages call it: the path as the user gave it. */
  readonly name: string;
  /** Its own name in its storage, in which training writes its settings; undefined where it has none. */
  readonly ownName?: string | undefined;
  /** Every regular file below it, sorted by path. Names that begin with a dot and links that leave it are not there. */
  list(): Promise<readonly FolderEntry[]>;
  /** What the last {@link list} met and no path can name, as near as text comes to it. */
  readonly unnameable?: readonly string[];
  /** A string from which {@link OpenSource} opens the file again, in this process or in a worker. */
  locate(path: string): string;
  /** The folder that holds this one, of which nothing but one file is looked at; absent where there is none. */
  above?(file: string): Folder;
}

/** Opens what {@link Folder.locate} named. @throws {EtherError} `not_found`, `io_error` */
export type OpenSource = (locator: string) => ByteSource | Promise<ByteSource>;

/** `a/b/c.txt` → `a/b/`; a name without a folder → the empty string. */
export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1);
}

/** `a/b/c.txt` → `c.txt`. */
export function baseNameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
