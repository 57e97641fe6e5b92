/**
 * The output of a merge: written beside its place, synced, and renamed into it when it is complete.
 *
 * Beside `O` lie, while it is written: `O.partial`, the folder that becomes O; `O.ether-lock`, whose advisory lock dies
 * with its process; and for a moment, when an older output is replaced, `O.replaced`. While that one has its manifest it
 * is complete, and may come back; once its manifest has another name it is being removed, which the next run goes on
 * with. Whatever else has one of these names is the user's, and is refused.
 */
import { closeSync, fsyncSync, openSync } from "node:fs";
import { resolve } from "node:path";
import { EtherError } from "../error.ts";
import type { MergeOutput } from "../execute/run_merge.ts";
import type { ByteSink } from "../io/sink.ts";
import { MANIFEST_FILE } from "../plans/manifest.ts";
import { FileSink } from "./file_sink.ts";
import { ioError } from "./io_error.ts";
import { LOCK_SUFFIX, OutputLock } from "./output_lock.ts";
import { makeParents, parentIsNoFolder, parentOf, removeParents } from "./parents.ts";
import { makePartial, PARTIAL_SUFFIX, placePartial, removePartial } from "./partial_folder.ts";

const REPLACED = ".replaced";
/** What the manifest is called in a replaced output that is being removed. It goes last. */
const REMOVED_MANIFEST = `${MANIFEST_FILE}.removed`;

/** What is written and cleared beside an output: its name with each of these. */
export const BESIDE_OUTPUT: readonly string[] = [PARTIAL_SUFFIX, LOCK_SUFFIX, REPLACED];

/** How an output is made. */
export interface OutputFolderOptions {
  /** What messages call it. @default the path */
  readonly name?: string | undefined;
  /** Replace an empty folder, or one with a manifest. @default false */
  readonly force?: boolean | undefined;
  /** Told what was found and done about it. */
  readonly onNotice?: ((message: string) => void) | undefined;
}

/** An output folder that is being written. Ends with {@link commit} or {@link discard}. */
export class OutputFolder implements MergeOutput {
  readonly #path: string;
  readonly #partial: string;
  readonly #name: string;
  readonly #lock: OutputLock;
  readonly #madeParents: readonly string[];
  readonly #onNotice: (message: string) => void;

  private constructor(
    path: string,
    name: string,
    lock: OutputLock,
    madeParents: readonly string[],
    options: OutputFolderOptions,
  ) {
    this.#path = path;
    this.#partial = path + PARTIAL_SUFFIX;
    this.#name = name;
    this.#lock = lock;
    this.#madeParents = madeParents;
    this.#onNotice = options.onNotice ?? (() => {});
  }

  /**
   * Checks the place, takes the lock, and makes the folder beside it.
   *
   * @param folder  absolute, or relative to the working directory
   * @throws {EtherError} `exists`, `locked`, `io_error`, `no_space`
   */
  static async start(folder: string, options: OutputFolderOptions = {}): Promise<OutputFolder> {
    const path = resolve(folder);
    const name = options.name ?? folder;
    const madeParents = makeParents(path, name);
    let lock: OutputLock | null = null;
    try {
      lock = await OutputLock.take(path, name);
      const output = new OutputFolder(path, name, lock, madeParents, options);
      await output.#recover();
      await checkOutputPlace(path, name, options.force ?? false);
      await output.#checkReplaceable();
      if (await makePartial(path, name)) {
        output.#onNotice(`removed ${name}${PARTIAL_SUFFIX}, which an interrupted run left`);
      }
      return output;
    } catch (error) {
      lock?.release();
      removeParents(madeParents);
      throw ioError(error, name);
    }
  }

  /** The folder that is being written, for whoever opens its files. */
  get root(): string {
    return this.#partial;
  }

  locate(path: string): string {
    return `${this.#partial}/${path}`;
  }

  async create(path: string, size: number): Promise<void> {
    try {
      const slash = path.lastIndexOf("/");
      if (slash !== -1) await Deno.mkdir(this.locate(path.slice(0, slash)), { recursive: true });
      using file = await Deno.open(this.locate(path), { write: true, createNew: true });
      await file.truncate(size);
    } catch (error) {
      throw ioError(error, `${this.#name}/${path}`);
    }
  }

  open(path: string): ByteSink {
    return new FileSink(this.locate(path));
  }

  async sync(path: string): Promise<void> {
    try {
      using file = await Deno.open(this.locate(path), { write: true });
      await file.syncData();
    } catch (error) {
      throw ioError(error, `${this.#name}/${path}`);
    }
  }

  /** Puts the folder into its place; an older output is there until the new one is. What is left of it is no error. */
  async commit(): Promise<void> {
    try {
      syncFolder(this.#partial);
      const replaced = this.#path + REPLACED;
      const old = await exists(this.#path);
      if (old) await Deno.rename(this.#path, replaced);
      try {
        await placePartial(this.#path);
      } catch (error) {
        if (old) await Deno.rename(replaced, this.#path);
        throw error;
      }
      syncFolder(parentOf(this.#path));
      if (old) await this.#removeReplaced();
    } catch (error) {
      throw ioError(error, this.#name);
    } finally {
      this.#lock.release();
    }
  }

  /** Removes what was written. */
  async discard(): Promise<void> {
    try {
      await removePartial(this.#path);
    } catch (error) {
      throw ioError(error, this.#partial);
    } finally {
      this.#lock.release();
      removeParents(this.#madeParents);
    }
  }

  /** An error about a file of the unfinished folder, which is gone by then, names the file of the output. */
  inItsPlace(error: unknown): unknown {
    if (!(error instanceof EtherError) || !error.file?.startsWith(`${this.#partial}/`)) return error;
    const { message, tensor, field, hint, cause } = error;
    const file = this.#name + error.file.slice(this.#partial.length);
    return new EtherError(error.code, message, { file, tensor, field, hint, cause });
  }

  /** A crash while an old output was replaced left one of the two complete. */
  async #recover(): Promise<void> {
    const replaced = this.#path + REPLACED;
    if (!await exists(replaced)) return;
    const { isDirectory } = await Deno.lstat(replaced);
    const removing = isDirectory && await exists(`${replaced}/${REMOVED_MANIFEST}`);
    if (!isDirectory || !removing && !await isReplaceable(replaced)) {
      const hint = "no merge left it: move it away, or name another output";
      throw new EtherError("exists", `${this.#name}${REPLACED} is in the way`, { file: this.#name, hint });
    }
    if (removing) {
      if (await this.#removeReplaced()) this.#onNotice(`removed what an earlier run left of ${this.#name}${REPLACED}`);
    } else if (await exists(this.#path)) {
      if (!await this.#removeReplaced()) return;
      this.#onNotice(`${this.#name} is complete; an interrupted run left the output it replaced, which is removed`);
    } else {
      this.#onNotice(`an interrupted run had moved ${this.#name} aside; it is complete and back in its place`);
      await Deno.rename(replaced, this.#path);
    }
  }

  /** Removes the replaced output, its manifest last; false, and said, where something of it cannot be removed. */
  async #removeReplaced(): Promise<boolean> {
    const replaced = this.#path + REPLACED;
    const manifest = `${replaced}/${REMOVED_MANIFEST}`;
    try {
      await Deno.rename(`${replaced}/${MANIFEST_FILE}`, manifest).catch(unlessAbsent);
      let failure: { readonly error: unknown } | null = null;
      for (const name of (await childrenOf(replaced)).filter((name) => name !== REMOVED_MANIFEST)) {
        // The others go all the same: weights take room.
        await Deno.remove(`${replaced}/${name}`, { recursive: true }).catch((error) => failure ??= { error });
      }
      if (failure !== null) throw (failure as { readonly error: unknown }).error;
      await Deno.remove(manifest).catch(unlessAbsent);
      await Deno.remove(replaced);
      return true;
    } catch (error) {
      const { message } = ioError(error, replaced);
      this.#onNotice(
        `${this.#name}${REPLACED}, the output before, cannot be removed: ${message}; the next run tries again`,
      );
      return false;
    }
  }

  /** An output is moved aside to where the one before it must be gone. */
  async #checkReplaceable(): Promise<void> {
    if (!await exists(this.#path) || !await exists(this.#path + REPLACED)) return;
    const hint = "remove it, or name another output";
    throw new EtherError("io_error", "an output that was replaced before cannot be removed", {
      file: this.#name + REPLACED,
      hint,
    });
  }
}

/**
 * Refuses an output that is there; with `force` only one that no merge wrote.
 *
 * @param path  absolute
 * @throws {EtherError} `exists`, `io_error`
 */
export async function checkOutputPlace(path: string, name: string, force: boolean): Promise<void> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error instanceof Deno.errors.NotADirectory ? parentIsNoFolder(name) : ioError(error, name);
  }
  if (!force) {
    const left = await exists(path + REPLACED)
      ? `it is complete; an interrupted run left ${path.slice(path.lastIndexOf("/") + 1)}${REPLACED}, the one before; `
      : "";
    throw new EtherError("exists", "the output exists", {
      file: name,
      hint: `${left}--force replaces a merged folder`,
    });
  }
  if (info.isDirectory && await isReplaceable(path)) return;
  const hint = `--force replaces only an empty folder or one with ${MANIFEST_FILE}; name another output`;
  throw new EtherError("exists", "the output exists and is no merged folder", { file: name, hint });
}

/** Nothing is lost with a folder that is empty, or that a merge wrote. */
async function isReplaceable(folder: string): Promise<boolean> {
  const children = await childrenOf(folder);
  return children.length === 0 || children.includes(MANIFEST_FILE);
}

async function childrenOf(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
}

function unlessAbsent(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** A rename is durable when its folder is. */
function syncFolder(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
