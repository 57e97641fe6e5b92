/**
 * The receipt of a merge: written beside its place, synced, and renamed into it when the merge is complete.
 *
 * Beside `R` lie, while it is written: `R.ether-partial`, `R.ether-lock`, and for a moment, when an older receipt is
 * replaced, `R.ether-replaced`. What has one of these names and is not what it says is the user's, and is refused.
 */
import { resolve } from "node:path";
import { EtherError } from "../error.ts";
import { baseNameOf } from "../io/folder.ts";
import type { ByteSink } from "../io/sink.ts";
import { isReceipt } from "../receipts/receipt.ts";
import { readHeader } from "../safetensors/read.ts";
import { FileSink } from "./file_sink.ts";
import { FileSource } from "./file_source.ts";
import { ioError } from "./io_error.ts";
import { LOCK_SUFFIX, OutputLock } from "./output_lock.ts";
import { makeParents, removeParents } from "./parents.ts";

const PARTIAL = ".ether-partial";
const REPLACED = ".ether-replaced";
/** How an unfinished receipt begins. The header, which is longer, goes over it when all else is written. */
const MARK = new TextEncoder().encode("ether-edge: unfinished receipt\n");

/** What is written and cleared beside a receipt: its name with each of these. */
export const BESIDE_RECEIPT: readonly string[] = [PARTIAL, LOCK_SUFFIX, REPLACED];

/** A receipt that is being written. Ends with {@link commit} and then {@link finish}, or with {@link discard}. */
export class ReceiptFile implements ByteSink {
  readonly #path: string;
  readonly #name: string;
  readonly #lock: OutputLock;
  readonly #madeParents: readonly string[];
  #sink: FileSink | null = null;
  #committed = false;

  private constructor(path: string, name: string, lock: OutputLock, madeParents: readonly string[]) {
    this.#path = path;
    this.#name = name;
    this.#lock = lock;
    this.#madeParents = madeParents;
  }

  /**
   * Checks the place, takes its lock, and begins the file beside it.
   *
   * @param file  absolute, or relative to the working directory
   * @throws {EtherError} `exists`, `locked`, `io_error`, `no_space`
   */
  static async start(
    file: string,
    { name = file, force = false }: { readonly name?: string | undefined; readonly force?: boolean | undefined },
  ): Promise<ReceiptFile> {
    const path = resolve(file);
    const madeParents = makeParents(path, name);
    let lock: OutputLock | null = null;
    try {
      lock = await OutputLock.take(path, name);
      const receipt = new ReceiptFile(path, name, lock, madeParents);
      await refuseForeign(path + REPLACED, name, holdsReceipt);
      // A crash while an older receipt was replaced left one of the two in its place, or the older one aside.
      if (!await exists(path) && await exists(path + REPLACED)) await Deno.rename(path + REPLACED, path);
      await checkReceiptPlace(path, name, force);
      await refuseForeign(path + PARTIAL, name, isUnfinished);
      await removeIfThere(path + PARTIAL);
      await Deno.writeFile(path + PARTIAL, MARK, { createNew: true });
      receipt.#sink = new FileSink(path + PARTIAL);
      return receipt;
    } catch (error) {
      lock?.release();
      removeParents(madeParents);
      throw ioError(error, name);
    }
  }

  write(offset: number, bytes: Uint8Array<ArrayBufferLike>): void {
    this.#sink!.write(offset, bytes);
  }

  close(): void {
    this.#sink?.close();
    this.#sink = null;
  }

  /** Puts the receipt into its place; {@link discard} still takes it back. */
  async commit(): Promise<void> {
    this.close();
    try {
      {
        using file = await Deno.open(this.#path + PARTIAL, { write: true });
        await file.sync();
      }
      if (await exists(this.#path)) await Deno.rename(this.#path, this.#path + REPLACED);
      this.#committed = true;
      await Deno.rename(this.#path + PARTIAL, this.#path);
    } catch (error) {
      throw ioError(error, this.#name);
    }
  }

  /** The merge stands: an older receipt goes. */
  async finish(): Promise<void> {
    this.#committed = false;
    try {
      await removeIfThere(this.#path + REPLACED);
    } finally {
      this.#lock.release();
    }
  }

  /** Removes what was written, and brings an older receipt back. */
  async discard(): Promise<void> {
    this.close();
    try {
      if (this.#committed) {
        await removeIfThere(this.#path);
        if (await exists(this.#path + REPLACED)) await Deno.rename(this.#path + REPLACED, this.#path);
      }
      await removeIfThere(this.#path + PARTIAL);
    } catch (error) {
      throw ioError(error, this.#name);
    } finally {
      this.#lock.release();
      removeParents(this.#madeParents);
    }
  }
}

/**
 * Refuses a place that is taken; with `force` only one that holds no receipt.
 *
 * @param path  absolute
 * @throws {EtherError} `exists`, `io_error`
 */
export async function checkReceiptPlace(path: string, name: string, force: boolean): Promise<void> {
  if (!await exists(path)) return;
  if (!force) throw new EtherError("exists", "the receipt exists", { file: name, hint: "--force replaces a receipt" });
  if (await holdsReceipt(path)) return;
  const hint = "--force replaces only a receipt; name another file";
  throw new EtherError("exists", "the file exists and is no receipt", { file: name, hint });
}

/** @throws {EtherError} `exists` where something has a name of ours and is not `ours` */
async function refuseForeign(path: string, name: string, ours: (path: string) => Promise<boolean>): Promise<void> {
  if (!await exists(path) || await ours(path)) return;
  const hint = "no merge left it: move it away, or name another receipt";
  throw new EtherError("exists", `${baseNameOf(path)} is in the way`, { file: name, hint });
}

/** What a stopped run left: empty, begun, or complete but for its rename. */
async function isUnfinished(path: string): Promise<boolean> {
  const { isFile, size } = await Deno.lstat(path);
  if (!isFile) return false;
  const begin = new Uint8Array(Math.min(size, MARK.byteLength));
  const source = new FileSource(path);
  try {
    source.read(0, begin);
  } finally {
    source.close();
  }
  return begin.every((byte, i) => byte === MARK[i]) || await holdsReceipt(path);
}

async function holdsReceipt(path: string): Promise<boolean> {
  if (!await exists(path) || !(await Deno.lstat(path)).isFile) return false;
  const source = new FileSource(path);
  try {
    return isReceipt(await readHeader(source));
  } catch (error) {
    if (error instanceof EtherError && error.code === "bad_header") return false;
    throw error;
  } finally {
    source.close();
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

async function removeIfThere(path: string): Promise<void> {
  if (await exists(path)) await Deno.remove(path);
}
