import type { ByteSink } from "../io/sink.ts";
import { ioError } from "./io_error.ts";

/** An existing file of this machine, written at any place. */
export class FileSink implements ByteSink {
  readonly #path: string;
  readonly #file: Deno.FsFile;

  /** @throws {EtherError} `io_error` */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#file = Deno.openSync(path, { write: true });
    } catch (error) {
      throw ioError(error, path);
    }
  }

  write(offset: number, bytes: Uint8Array<ArrayBufferLike>): void {
    try {
      for (let done = 0; done < bytes.byteLength;) {
        this.#file.seekSync(offset + done, Deno.SeekMode.Start);
        done += this.#file.writeSync(bytes.subarray(done));
      }
    } catch (error) {
      throw ioError(error, this.#path);
    }
  }

  close(): void {
    this.#file.close();
  }
}
