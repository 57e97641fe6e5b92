import { baseNameOf } from "../io/folder.ts";
import { ioError } from "./io_error.ts";

/** Writes `<file>.sha256`, a line as `sha256sum` prints it; written beside and renamed. @throws {EtherError} `io_error` */
export async function writeSidecar(path: string, sha256: string): Promise<void> {
  const sidecar = `${path}.sha256`;
  // No name that a user's file has, which would be written over.
  const partial = `${sidecar}.ether-partial`;
  try {
    await Deno.writeTextFile(partial, `${sha256}  ${baseNameOf(path)}\n`);
    await Deno.rename(partial, sidecar);
  } catch (error) {
    throw ioError(error, sidecar);
  }
}
