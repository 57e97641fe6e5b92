/** Folders of this machine. */
import { EtherError } from "../error.ts";
import { baseNameOf, type Folder, type FolderEntry } from "../io/folder.ts";
import type { Place } from "../checkpoints/model.ts";
import { isWrittenAfter, lookAt } from "./file_mark.ts";
import { ioError } from "./io_error.ts";

/** Files that may be read beside a file that was named alone. */
const COMPANIONS = ["config.json", "adapter_config.json", "lit_config.json"];

/** A folder is no model if it holds more files than this; it guards against a listing of a whole disk. */
const MAX_FILES = 100_000;

/** A folder on disk: a plain one, or a snapshot of the Hub's cache, whose files are links to blobs beside it. */
export class FileFolder implements Folder {
  readonly name: string;
  readonly ownName: string;
  readonly #root: string;
  #unnameable: string[] = [];
  /** Where links may lead to. */
  readonly #allowed: readonly string[];
  /** The only file that is looked at, with its companions; null: all. */
  readonly #only: string | null;

  /**
   * @param name  what messages call it
   * @param root  its real path
   * @param only  one file's name: then its neighbours are none of our business
   */
  constructor(name: string, root: string, only: string | null = null) {
    this.name = name;
    this.ownName = baseNameOf(root);
    this.#root = root;
    this.#only = only;
    // Also of a snapshot's subfolder, such as one part of a pipeline.
    const snapshot = /^(.*)\/snapshots\/[^/]+(\/.*)?$/.exec(root);
    this.#allowed = snapshot === null ? [`${root}/`] : [`${root}/`, `${snapshot[1]}/blobs/`];
  }

  async list(): Promise<readonly FolderEntry[]> {
    const entries: FolderEntry[] = [];
    this.#unnameable = [];
    if (this.#only === null) await this.#collect("", entries);
    else {
      for (const name of [this.#only, ...COMPANIONS]) {
        const entry = await this.#entry(name, true);
        if (entry !== null) entries.push(entry);
        else this.#refuseLostConfig(name);
      }
    }
    const sidecars = new Set(entries.map(({ path }) => path));
    const withDigests = entries.map((entry) => ({ ...entry, sha256: entry.sha256 ?? this.#sidecar(entry, sidecars) }));
    return withDigests.sort((a, b) => a.path < b.path ? -1 : 1);
  }

  get unnameable(): readonly string[] {
    return this.#unnameable;
  }

  locate(path: string): string {
    return `${this.#root}/${path}`;
  }

  above(file: string): Folder {
    return new FileFolder(`${this.name}/..`, this.#root.slice(0, this.#root.lastIndexOf("/")), file);
  }

  async #collect(folder: string, entries: FolderEntry[]): Promise<void> {
    let children: Deno.DirEntry[];
    try {
      children = await Array.fromAsync(Deno.readDir(`${this.#root}/${folder}`));
    } catch (error) {
      throw ioError(error, `${this.name}/${folder}`);
    }
    for (const { name, isDirectory } of children) {
      if (name.startsWith(".")) continue;
      if (name.includes("\uFFFD") && !await this.#isThere(folder + name)) {
        this.#unnameable.push(folder + name);
        continue;
      }
      if (isDirectory) await this.#collect(`${folder}${name}/`, entries);
      else {
        const entry = await this.#entry(folder + name, false);
        if (entry !== null) entries.push(entry);
        else if (folder === "") this.#refuseLostConfig(name);
      }
      if (entries.length > MAX_FILES) {
        throw new EtherError("unsupported_format", `holds more than ${MAX_FILES} files`, { file: this.name });
      }
    }
  }

  /** A name that is no UTF-8 comes with U+FFFD in the place of its bytes, and then names nothing. */
  async #isThere(path: string): Promise<boolean> {
    try {
      await Deno.lstat(this.locate(path));
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw ioError(error, `${this.name}/${path}`);
    }
  }

  /** Without its config a quantised or tied model would pass for a plain one: a link that is not followed is said. */
  #refuseLostConfig(name: string): void {
    if (!COMPANIONS.includes(name)) return;
    try {
      if (!Deno.lstatSync(this.locate(name)).isSymlink) return;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      throw ioError(error, `${this.name}/${name}`);
    }
    throw new EtherError("not_found", "is a link to nothing, or to what lies outside of the folder", {
      file: `${this.name}/${name}`,
      hint: "copy the file itself into the folder",
    });
  }

  /**
   * A regular file; null for anything else, and for a link that leads out, unless the user named that very file, or one
   * that it goes with.
   */
  async #entry(path: string, named: boolean): Promise<FolderEntry | null> {
    let real: string;
    let info: Deno.FileInfo;
    try {
      real = await Deno.realPath(this.locate(path));
      info = await Deno.stat(real);
    } catch (error) {
      // A link to nothing, or to itself.
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.FilesystemLoop) return null;
      throw ioError(error, `${this.name}/${path}`);
    }
    if (!info.isFile || !(named || this.#allowed.some((prefix) => real.startsWith(prefix)))) return null;
    const blob = this.#allowed[1];
    const fromBlob = blob !== undefined && real.startsWith(blob) && /^[0-9a-f]{64}$/.test(baseNameOf(real));
    return { path, size: info.size, sha256: fromBlob ? baseNameOf(real) : undefined };
  }

  /** What `<file>.sha256` says of this very file, where it was written after the file came to be here. */
  #sidecar(entry: FolderEntry, paths: ReadonlySet<string>): string | undefined {
    const path = `${entry.path}.sha256`;
    if (!paths.has(path) && this.#only === null) return undefined;
    try {
      const sidecar = lookAt(this.locate(path));
      const file = lookAt(this.locate(entry.path));
      if (sidecar === null || file === null || !isWrittenAfter(sidecar, file) || sidecar.size > 4096) return undefined;
      const line = /^([0-9a-f]{64})(?: [ *](.+))?$/m.exec(Deno.readTextFileSync(this.locate(path)));
      return line === null || (line[2] ?? baseNameOf(entry.path)) !== baseNameOf(entry.path) ? undefined : line[1];
    } catch {
      return undefined;
    }
  }
}

/**
 * What a path means: a folder (also the Hub cache's folder of a repository), or one file.
 *
 * @param path  absolute, or relative to the working directory
 * @param name  what messages call it. @default the path
 * @throws {EtherError} `not_found`, `io_error`
 */
export async function openPlace(path: string, name: string = path): Promise<Place> {
  try {
    const info = await Deno.stat(path);
    if (info.isDirectory) {
      return { folder: new FileFolder(name, await snapshotOf(await Deno.realPath(path))), file: null };
    }
    // The folder is the link's own: a Hub cache file has its config beside the link, not beside the blob.
    const slash = path.lastIndexOf("/");
    const root = await Deno.realPath(slash === -1 ? "." : path.slice(0, slash) || "/");
    const file = path.slice(slash + 1);
    return { folder: new FileFolder(parentName(name), root, file), file };
  } catch (error) {
    throw ioError(error, name);
  }
}

function parentName(name: string): string {
  const slash = name.lastIndexOf("/");
  return slash === -1 ? "." : name.slice(0, slash) || "/";
}

/** `models--org--name` holds snapshots; `refs/main` says which is current. */
async function snapshotOf(root: string): Promise<string> {
  if (!baseNameOf(root).startsWith("models--")) return root;
  try {
    const commit = (await Deno.readTextFile(`${root}/refs/main`)).trim();
    return /^[0-9a-f]{40}$/.test(commit) ? await Deno.realPath(`${root}/snapshots/${commit}`) : root;
  } catch {
    return root;
  }
}
