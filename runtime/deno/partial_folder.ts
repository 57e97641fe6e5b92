/**
 * The folder that becomes an output: `O.partial`. A file in it says whose it is, and is there before all others: what a
 * stopped run left is cleared, and a folder of the user's that happens to have the name is not.
 */
import { EtherError } from "../error.ts";
import { baseNameOf } from "../io/folder.ts";

/** Added to an output's name. */
export const PARTIAL_SUFFIX = ".partial";

/** It begins with a dot: where it stays behind, no list of a folder has it. */
const MARK = ".ether-partial";

/**
 * Makes the folder, and clears what a stopped run left of one; its caller holds the output's lock.
 *
 * @param output  the output's path
 * @param name  what messages call the output
 * @returns true where there was something to clear
 * @throws {EtherError} `exists` where something has the name that no run left
 */
export async function makePartial(output: string, name: string): Promise<boolean> {
  const path = output + PARTIAL_SUFFIX;
  const left = await isLeft(path);
  if (left === false) {
    const hint = "no unfinished output is like it: move it away, or name another output";
    throw new EtherError("exists", `${baseNameOf(path)} is in the way`, { file: name, hint });
  }
  if (left) await removePartial(output);
  await Deno.mkdir(path);
  await Deno.writeFile(`${path}/${MARK}`, new Uint8Array(0), { createNew: true });
  return left === true;
}

/**
 * Puts the folder into its place, at which there must be nothing. The mark goes last: without it, a folder whose
 * rename did not happen would be nobody's.
 */
export async function placePartial(output: string): Promise<void> {
  await Deno.rename(output + PARTIAL_SUFFIX, output);
  // A complete output with a hidden, empty file is no failed one.
  await Deno.remove(`${output}/${MARK}`).catch(() => {});
}

/** Removes the folder, its mark last: a removal that is stopped can be gone on with. */
export async function removePartial(output: string): Promise<void> {
  const path = output + PARTIAL_SUFFIX;
  try {
    for (const child of await childrenOf(path)) {
      if (child !== MARK) await Deno.remove(`${path}/${child}`, { recursive: true });
    }
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** True for what a run left, false for what is somebody else's, null where there is nothing. */
async function isLeft(path: string): Promise<boolean | null> {
  try {
    if (!(await Deno.lstat(path)).isDirectory) return false;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
  const children = await childrenOf(path);
  return children.length === 0 || children.includes(MARK);
}

async function childrenOf(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
}
