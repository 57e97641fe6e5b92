/** Where a path leads, and whether two paths lie in each other. */
import { ioError } from "./io_error.ts";

/**
 * The real path of what is there; of what is not there yet, the real path of its nearest parent with the rest.
 *
 * @throws {EtherError} `io_error`
 */
export function realPathOf(path: string): string {
  for (let existing = path.replace(/\/$/, ""), rest = "";;) {
    try {
      const real = Deno.realPathSync(existing || "/");
      return rest === "" ? real : `${real === "/" ? "" : real}${rest}`;
    } catch (error) {
      const absent = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
      if (!absent || existing === "") throw ioError(error, path);
      const slash = existing.lastIndexOf("/");
      rest = existing.slice(slash) + rest;
      existing = existing.slice(0, slash);
    }
  }
}

/** True where one path is the other, or lies in it. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === "/" ? "/" : `${folder}/`);
}
