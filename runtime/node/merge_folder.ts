/** A merged model as a folder, written by `node:fs` in this thread. */
import { closeSync, constants, fsyncSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { access, mkdir, rename, rm } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { EtherError } from "../error.ts";
import { mergeTo } from "../execute/merge_to.ts";
import type { MergeOptions, MergeOutput, MergeReport } from "../execute/run_merge.ts";
import type { ByteSink } from "../io/sink.ts";
import type { MergePlan } from "../plans/plan.ts";
import { nodeStorage } from "./file_source.ts";
import { ioError } from "./io_error.ts";

/**
 * Writes a planned merge into a folder that is not there yet. It is written beside its place and appears when it is
 * complete and on disk; after an error or an abort nothing is left.
 *
 * @param folder  absolute, or relative to the working directory; its parents are made
 * @throws {EtherError} `exists`, `no_space`, `io_error`, `base_mismatch`, `verify_failed`, `usage` for a folder within an
 * input; the signal's reason
 */
export async function mergeToFolder(
  plan: MergePlan,
  folder: string,
  options: MergeOptions = {},
): Promise<MergeReport> {
  const target = resolve(folder);
  const within = plan.inputs?.find((input) => `${target}/`.startsWith(`${input.replace(/\/+$/, "")}/`));
  if (within !== undefined) {
    throw new EtherError("usage", "the output lies in one of the inputs", {
      file: folder,
      hint: `choose a place outside of ${within}`,
    });
  }
  if (await access(target, constants.F_OK).then(() => true, () => false)) {
    throw new EtherError("exists", "is there already", { file: folder, hint: "name a folder that is not there" });
  }
  await mkdir(dirname(target), { recursive: true });
  const partial = `${dirname(target)}/${basename(target)}.partial-${crypto.randomUUID()}`;
  await mkdir(partial);
  try {
    const report = await mergeTo(plan, new FolderOutput(partial), nodeStorage, options);
    await rename(partial, target);
    syncFolder(dirname(target));
    return report;
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
}

class FolderOutput implements MergeOutput {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async create(path: string, size: number): Promise<void> {
    try {
      await mkdir(dirname(this.locate(path)), { recursive: true });
      const descriptor = openSync(this.locate(path), "wx");
      ftruncateSync(descriptor, size);
      closeSync(descriptor);
    } catch (error) {
      throw ioError(error, path);
    }
  }

  open(path: string): ByteSink {
    const descriptor = openSync(this.locate(path), "r+");
    return {
      write: (offset, bytes) => {
        try {
          for (let done = 0; done < bytes.byteLength;) {
            done += writeSync(descriptor, bytes, done, bytes.byteLength - done, offset + done);
          }
        } catch (error) {
          throw ioError(error, path);
        }
      },
      close: () => closeSync(descriptor),
    };
  }

  sync(path: string): Promise<void> {
    const descriptor = openSync(this.locate(path), "r+");
    try {
      fsyncSync(descriptor);
    } catch (error) {
      throw ioError(error, path);
    } finally {
      closeSync(descriptor);
    }
    return Promise.resolve();
  }

  locate(path: string): string {
    return `${this.#root}/${path}`;
  }
}

/** The new name is on disk too; some systems cannot be told. */
function syncFolder(folder: string): void {
  try {
    const descriptor = openSync(folder, "r");
    fsyncSync(descriptor);
    closeSync(descriptor);
  } catch {
    // What was merged is there all the same.
  }
}
