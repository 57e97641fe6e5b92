/** Files of this machine as sources. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { ByteSource } from "../io/source.ts";
import { EtherError } from "../error.ts";
import { ioError } from "./io_error.ts";

/** A file opened for reading at any place: `pread` keeps no cursor, and reads straight into a kernel's memory. */
export class FileSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #descriptor: number;

  /** @throws {EtherError} `not_found`, `io_error` */
  constructor(path: string) {
    this.name = path;
    try {
      this.#descriptor = openSync(path, "r");
      this.size = fstatSync(this.#descriptor).size;
    } catch (error) {
      throw ioError(error, path);
    }
  }

  read(offset: number, into: Uint8Array<ArrayBufferLike>): void {
    // A read may return short, at 2 GiB it does.
    for (let done = 0; done < into.byteLength;) {
      let count: number;
      try {
        count = readSync(this.#descriptor, into, done, into.byteLength - done, offset + done);
      } catch (error) {
        throw ioError(error, this.name);
      }
      if (count === 0) {
        throw new EtherError("io_error", `ends at byte ${offset + done}, before byte ${offset + into.byteLength}`, {
          file: this.name,
          hint: "the file became shorter while it was read",
        });
      }
      done += count;
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

/** Opens what a {@link FileFolder} located: an absolute path. */
export function openFileSource(locator: string): ByteSource {
  return new FileSource(locator);
}
