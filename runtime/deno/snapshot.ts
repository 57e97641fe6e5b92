/** Files that others may be writing, read as of one moment. */
import { EtherError } from "../error.ts";
import { type ByteSource, readAll } from "../io/source.ts";
import { lookAt } from "./file_mark.ts";
import { openFileSource } from "./file_source.ts";

/** How often files are read before they are said to be busy. */
const ATTEMPTS = 6;
/** A write within one tick of a file system's clock leaves the time as it was; this is longer than a tick. */
const TICK_MILLISECONDS = 50;

/** Bytes of some files, and the marks that they all had before and after they were read. */
export interface Snapshot {
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  readonly mark: string;
}

/** One string for the present state of some files. */
export function marksOf(paths: ReadonlyMap<string, string>): string {
  return [...paths].map(([name, path]) => `${name} ${lookAt(path)?.mark}`).join("\n");
}

/**
 * Reads files again until none of them changed meanwhile.
 *
 * @param paths  paths by the names that they get
 * @param limit  bytes of all of them
 * @param name   what messages call them
 * @param open   opens a path. @default the file
 * @throws {EtherError} `too_large`; `busy` where they go on changing; `not_found`, `io_error`
 */
export async function readSnapshot(
  paths: ReadonlyMap<string, string>,
  limit: number,
  name: string,
  open: (path: string) => ByteSource = openFileSource,
): Promise<Snapshot> {
  for (let attempt = 1;; attempt++) {
    const before = marksOf(paths);
    const fresh = [...paths.values()].some(isFresh);
    const files = new Map<string, Uint8Array<ArrayBuffer>>();
    let byteLength = 0;
    for (const [file, path] of paths) {
      const source = open(path);
      try {
        byteLength += source.size;
        if (byteLength > limit) throw tooLarge(byteLength, limit, name);
        files.set(file, await readAll(source));
      } catch (error) {
        // It became shorter: that is a change like any other.
        if (marksOf(paths) === before) throw error;
      } finally {
        source.close();
      }
    }
    if (!fresh && files.size === paths.size && marksOf(paths) === before) return { files, mark: before };
    if (attempt === ATTEMPTS) {
      const hint = "write it beside its place and rename it";
      throw new EtherError("busy", "the files go on changing while they are read", { file: name, hint });
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MILLISECONDS * attempt));
  }
}

/** Just written, by the clock of this machine. */
function isFresh(path: string): boolean {
  return Math.abs(Date.now() - (lookAt(path)?.changed ?? 0)) < TICK_MILLISECONDS;
}

function tooLarge(byteLength: number, limit: number, file: string): EtherError {
  return new EtherError("too_large", `its files have ${byteLength} bytes or more, the limit is ${limit}`, { file });
}
