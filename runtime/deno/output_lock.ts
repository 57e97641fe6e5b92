import { EtherError } from "../error.ts";
import { baseNameOf } from "../io/folder.ts";

/** What a lock's file is called: the output's name with this. Package managers and programs have names in `.lock`. */
export const LOCK_SUFFIX = ".ether-lock";

/**
 * An advisory lock on an empty file beside an output: it dies with its process, and a file that nobody holds is no lock.
 * The file goes with the lock. What is no empty regular file is somebody else's, and stays.
 */
export class OutputLock {
  readonly #path: string;
  #file: Deno.FsFile | null;

  private constructor(path: string, file: Deno.FsFile) {
    this.#path = path;
    this.#file = file;
  }

  /**
   * Locks an output.
   *
   * @param output  its path; the lock's file lies beside it
   * @param name  what messages call it
   * @throws {EtherError} `locked`; `exists` where the lock's file is no lock
   */
  static async take(output: string, name: string): Promise<OutputLock> {
    const path = output + LOCK_SUFFIX;
    while (true) {
      // Before it is opened: opening a pipe waits, and a link leads anywhere.
      const before = await Deno.lstat(path).catch(unlessAbsent);
      if (before !== null) refuseForeign(before, path, name);
      const file = await Deno.open(path, { create: true, write: true, read: true });
      try {
        if (!await file.tryLock(true)) {
          throw new EtherError("locked", "another process writes this output", { file: name, hint: "wait for it" });
        }
        // Its last holder may have removed the file between our open and our lock: then ours is not the one others see.
        const mine = await file.stat();
        refuseForeign(mine, path, name);
        const there = await Deno.lstat(path).catch(unlessAbsent);
        if (there !== null && isSame(there, mine)) return new OutputLock(path, file);
      } catch (error) {
        file.close();
        throw error;
      }
      file.close();
    }
  }

  release(): void {
    if (this.#file === null) return;
    try {
      const mine = this.#file.statSync();
      if (mine.size === 0 && isSame(Deno.lstatSync(this.#path), mine)) Deno.removeSync(this.#path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    } finally {
      this.#file.close();
      this.#file = null;
    }
  }
}

function refuseForeign({ isFile, size }: Deno.FileInfo, path: string, name: string): void {
  if (isFile && size === 0) return;
  const hint = "move it away, or name another output";
  throw new EtherError("exists", `${baseNameOf(path)} is in the way: no lock of a merge is like it`, {
    file: name,
    hint,
  });
}

function isSame(a: Deno.FileInfo, b: Deno.FileInfo): boolean {
  return a.ino === b.ino && a.dev === b.dev;
}

function unlessAbsent(error: unknown): null {
  if (error instanceof Deno.errors.NotFound) return null;
  throw error;
}
