/** The folders above an output: made where they are missing, and removed again where the output does not come. */
import { mkdirSync } from "node:fs";
import { EtherError } from "../error.ts";
import { ioError } from "./io_error.ts";

/** Makes the missing parents of a path, and says which. @throws {EtherError} `io_error`, `no_space` */
export function makeParents(path: string, name: string): string[] {
  const parent = parentOf(path);
  try {
    const first = mkdirSync(parent, { recursive: true });
    if (first === undefined) return [];
    const made: string[] = [];
    for (let folder = parent; folder.length >= first.length; folder = parentOf(folder)) made.push(folder);
    return made;
  } catch (error) {
    if ((error as { code?: string }).code === "EEXIST") throw parentIsNoFolder(name);
    const { code, message, hint } = ioError(error, name);
    const details = { file: name, hint, cause: error };
    throw new EtherError(code === "no_space" ? code : "io_error", `cannot make ${parent}: ${message}`, details);
  }
}

export function parentIsNoFolder(name: string): EtherError {
  return new EtherError("io_error", "a parent of the output is not a folder", { file: name, hint: "name another" });
}

/** Removes parents that were made for an output that did not come; one that somebody else uses by now stays. */
export function removeParents(made: readonly string[]): void {
  for (const folder of made) {
    try {
      Deno.removeSync(folder);
    } catch {
      return;
    }
  }
}

export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}
