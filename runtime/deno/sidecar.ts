import { EtherError } from "../error.ts";
import { baseNameOf } from "../io/folder.ts";
import { lookAt } from "./file_mark.ts";
import { ioError } from "./io_error.ts";

/** The clock of a file system is behind that of the machine by up to a tick. */
const TICK_MILLISECONDS = 20;

/**
 * Writes `<file>.sha256`, a line as `sha256sum` prints it; written beside and renamed.
 *
 * @param mark  of the file before it was digested. @default what it is now
 * @throws {EtherError} `io_error`, also where the file changed since then: no sidecar is left
 */
export async function writeSidecar(
  path: string,
  sha256: string,
  mark: string | undefined = lookAt(path)?.mark,
): Promise<void> {
  const sidecar = `${path}.sha256`;
  // No name that a user's file has, which would be written over.
  const partial = `${sidecar}.ether-partial`;
  const refuseOther = () => {
    if (lookAt(path)?.mark === mark) return;
    throw new EtherError("io_error", "it changed while its digest was computed", { file: path });
  };
  try {
    await untilSettled(path);
    refuseOther();
    await Deno.writeTextFile(partial, `${sha256}  ${baseNameOf(path)}\n`);
    await Deno.rename(partial, sidecar);
    try {
      // Of a file that was replaced meanwhile the sidecar would be a lie that looks fresh.
      refuseOther();
    } catch (error) {
      await Deno.remove(sidecar);
      throw error;
    }
  } catch (error) {
    throw ioError(error, sidecar);
  }
}

/** A sidecar of the second in which its file last changed does not count: which came first, nobody could tell. */
async function untilSettled(path: string): Promise<void> {
  const wait = (lookAt(path)?.settled ?? 0) + TICK_MILLISECONDS - Date.now();
  // Not for a file whose times lie in the future.
  if (wait > 0 && wait <= 1000 + TICK_MILLISECONDS) await new Promise((resolve) => setTimeout(resolve, wait));
}
