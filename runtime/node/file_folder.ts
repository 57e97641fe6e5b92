/** Folders of this machine by `node:fs`. */
import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { basename, dirname, resolve, sep } from "node:path";
import type { Place } from "../checkpoints/model.ts";
import { EtherError } from "../error.ts";
import { baseNameOf, type Folder, type FolderEntry } from "../io/folder.ts";
import { ioError } from "./io_error.ts";

/** Files that may be read beside a file that was named alone. */
const COMPANIONS = ["config.json", "adapter_config.json", "lit_config.json"];

/** Without them a quantised or tied model would pass for a plain one: one that cannot be read is an error. */
const NEEDED = new Set(COMPANIONS);

/** A folder is no model if it holds more files than this; it guards against a listing of a whole disk. */
const MAX_FILES = 100_000;

/** A folder on disk: a plain one, or a snapshot of the Hub's cache, whose files are links to blobs beside it. */
class FileFolder implements Folder {
  readonly name: string;
  readonly ownName: string;
  readonly #root: string;
  /** Where links may lead to: into the folder, and into the blobs of its repository in the Hub's cache. */
  readonly #allowed: readonly string[];
  readonly #only: string | null;

  constructor(name: string, root: string, only: string | null) {
    this.name = name;
    this.ownName = basename(root);
    this.#root = root;
    this.#only = only;
    const snapshot = /^(.*)\/snapshots\/[^/]+(\/.*)?$/.exec(root);
    this.#allowed = snapshot === null ? [root + sep] : [root + sep, `${snapshot[1]}/blobs/`];
  }

  async list(): Promise<readonly FolderEntry[]> {
    const entries: FolderEntry[] = [];
    if (this.#only === null) await this.#collect("", entries);
    else {
      for (const name of [this.#only, ...COMPANIONS]) {
        const entry = await this.#entry(name, true);
        if (entry !== null) entries.push(entry);
      }
    }
    return entries.sort((a, b) => a.path < b.path ? -1 : 1);
  }

  locate(path: string): string {
    return `${this.#root}/${path}`;
  }

  above(file: string): Folder {
    return new FileFolder(`${this.name}/..`, dirname(this.#root), file);
  }

  async #collect(folder: string, entries: FolderEntry[]): Promise<void> {
    const children = await readdir(this.locate(folder), { withFileTypes: true }).catch((error) => {
      throw ioError(error, `${this.name}/${folder}`);
    });
    for (const child of children) {
      if (child.name.startsWith(".")) continue;
      const path = folder + child.name;
      if (child.isDirectory()) await this.#collect(`${path}/`, entries);
      else {
        const entry = await this.#entry(path, false);
        if (entry !== null) entries.push(entry);
        else if (child.isSymbolicLink() && NEEDED.has(path)) throw lostLink(`${this.name}/${path}`);
      }
      if (entries.length > MAX_FILES) {
        throw new EtherError("unsupported_format", `holds more than ${MAX_FILES} files`, { file: this.name });
      }
    }
  }

  /** A regular file; null for anything else, and for a link that leads out, unless the user named that very file. */
  async #entry(path: string, named: boolean): Promise<FolderEntry | null> {
    try {
      const real = await realpath(this.locate(path));
      const info = await stat(real);
      if (!info.isFile() || !(named || this.#allowed.some((prefix) => real.startsWith(prefix)))) return null;
      const blob = this.#allowed[1];
      const fromBlob = blob !== undefined && real.startsWith(blob) && /^[0-9a-f]{64}$/.test(baseNameOf(real));
      return { path, size: info.size, sha256: fromBlob ? baseNameOf(real) : undefined };
    } catch (error) {
      // A link to nothing, or to itself.
      if (["ENOENT", "ELOOP"].includes((error as { code?: string }).code ?? "")) return null;
      throw ioError(error, `${this.name}/${path}`);
    }
  }
}

/**
 * What a path means: a folder (also the Hub cache's folder of a repository), or one `.safetensors` file.
 *
 * @param path  absolute, or relative to the working directory
 * @throws {EtherError} `not_found`, `io_error`
 */
export async function openPlace(path: string): Promise<Place> {
  try {
    if ((await stat(path)).isDirectory()) {
      return { folder: new FileFolder(path, await snapshotOf(await realpath(path)), null), file: null };
    }
    // The folder is the link's own: a Hub cache file has its config beside the link, not beside the blob.
    const absolute = resolve(path);
    const file = basename(absolute);
    return { folder: new FileFolder(dirname(path), await realpath(dirname(absolute)), file), file };
  } catch (error) {
    throw ioError(error, path);
  }
}

/** `models--org--name` holds snapshots; `refs/main` says which is current. */
async function snapshotOf(root: string): Promise<string> {
  if (!basename(root).startsWith("models--")) return root;
  try {
    const commit = (await readFile(`${root}/refs/main`, "utf8")).trim();
    return /^[0-9a-f]{40}$/.test(commit) ? await realpath(`${root}/snapshots/${commit}`) : root;
  } catch {
    return root;
  }
}

function lostLink(file: string): EtherError {
  return new EtherError("not_found", "is a link to nothing, or to what lies outside of the folder", {
    file,
    hint: "copy the file itself into the folder",
  });
}
