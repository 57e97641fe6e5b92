import { closeSync, openSync, writeSync } from "node:fs";
import type { ByteSink } from "../io/sink.ts";
import { ioError } from "./io_error.ts";

/** An existing file of this machine, written at any place. */
export class FileSink implements ByteSink {
  readonly #path: string;
  readonly #descriptor: number;

  /** @throws {EtherError} `io_error` */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#descriptor = openSync(path, "r+");
    } catch (error) {
      throw ioError(error, path);
    }
  }

  write(offset: number, bytes: Uint8Array<ArrayBufferLike>): void {
    try {
      for (let done = 0; done < bytes.byteLength;) {
        done += writeSync(this.#descriptor, bytes, done, bytes.byteLength - done, offset + done);
      }
    } catch (error) {
      throw ioError(error, this.#path);
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
