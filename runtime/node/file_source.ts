/** Files by `node:fs` as sources, and digests by `node:crypto`: for Node, and for what has its interfaces. */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { EtherError } from "../error.ts";
import type { RunningDigest } from "../io/digest.ts";
import type { ByteSource } from "../io/source.ts";
import type { Storage } from "../plans/prepare_merge.ts";
import { ioError } from "./io_error.ts";

/** A file opened for reading at any place, straight into a kernel's memory. */
class FileSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #descriptor: number;

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

/** SHA-256 by the host's OpenSSL. */
function startDigest(): RunningDigest {
  const hash = createHash("sha256");
  return {
    update: (bytes) => void hash.update(bytes),
    finish: () => new Uint8Array(hash.digest()),
  };
}

/** Files of this machine: locators are absolute paths. */
export const nodeStorage: Storage = { openSource: (locator) => new FileSource(locator), startDigest };
