/** Files of this machine as sources. */
import type { ByteSource } from "../io/source.ts";
import { EtherError } from "../error.ts";
import { markOf } from "./file_mark.ts";
import { ioError } from "./io_error.ts";

/**
 * A file opened for reading at any place, straight into a kernel's memory. Seeking and reading are one turn of this
 * thread, and no other has the handle. Deno's own handle, as `node:fs` takes some megabytes in every thread.
 */
export class FileSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #file: Deno.FsFile;

  /** @throws {EtherError} `not_found`, `io_error` */
  constructor(path: string) {
    this.name = path;
    try {
      this.#file = Deno.openSync(path);
      this.size = this.#file.statSync().size;
    } catch (error) {
      throw ioError(error, path);
    }
  }

  read(offset: number, into: Uint8Array<ArrayBufferLike>): void {
    // A read may return short, at 2 GiB it does.
    for (let done = 0; done < into.byteLength;) {
      let count: number | null;
      try {
        this.#file.seekSync(offset + done, Deno.SeekMode.Start);
        count = this.#file.readSync(into.subarray(done));
      } catch (error) {
        throw ioError(error, this.name);
      }
      if (count === null) {
        throw new EtherError("io_error", `ends at byte ${offset + done}, before byte ${offset + into.byteLength}`, {
          file: this.name,
          hint: "the file became shorter while it was read",
        });
      }
      done += count;
    }
  }

  mark(): string {
    try {
      return markOf(this.#file.statSync());
    } catch (error) {
      throw ioError(error, this.name);
    }
  }

  close(): void {
    this.#file.close();
  }
}

/** Opens what a {@link FileFolder} located: an absolute path. */
export function openFileSource(locator: string): ByteSource {
  return new FileSource(locator);
}
