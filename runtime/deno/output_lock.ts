import { EtherError } from "../error.ts";

/**
 * An advisory lock on a file beside an output: it dies with its process, and a file that nobody holds is no lock. The
 * file goes with the lock.
 */
export class OutputLock {
  readonly #path: string;
  #file: Deno.FsFile | null;

  private constructor(path: string, file: Deno.FsFile) {
    this.#path = path;
    this.#file = file;
  }

  /** @throws {EtherError} `locked` */
  static async take(path: string, name: string): Promise<OutputLock> {
    while (true) {
      const file = await Deno.open(path, { create: true, write: true, read: true });
      if (!await file.tryLock(true)) {
        file.close();
        throw new EtherError("locked", "another process writes this output", { file: name, hint: "wait for it" });
      }
      // Its last holder may have removed the file between our open and our lock: then ours is not the one others see.
      const mine = await file.stat();
      const there = await Deno.stat(path).catch(() => null);
      if (there !== null && there.ino === mine.ino && there.dev === mine.dev) return new OutputLock(path, file);
      file.close();
    }
  }

  release(): void {
    if (this.#file === null) return;
    try {
      Deno.removeSync(this.#path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    } finally {
      this.#file.close();
      this.#file = null;
    }
  }
}
