/** Paths as the user means them. */
import { fileURLToPath } from "node:url";
import { ioError } from "../runtime/deno/io_error.ts";
import { EtherError } from "../runtime/error.ts";

/**
 * Where the user stands. `deno task` changes into the project's folder and says in INIT_CWD where it was called; npm
 * sets INIT_CWD too, for whatever it runs, so that it counts only where this process stands in the project's folder.
 */
export function userFolder(): string {
  const here = Deno.cwd();
  const project = new URL("..", import.meta.url);
  if (project.protocol !== "file:" || realPathOf(fileURLToPath(project)) !== realPathOf(here)) return here;
  return Deno.env.get("INIT_CWD") || here;
}

/** An absolute path without `.`, `..` and double slashes. @throws {EtherError} `usage` for what is not a local path */
export function resolvePath(path: string, flag: string): string {
  const scheme = /^(hf|https?|s3|file):\/\//i.exec(path);
  if (scheme !== null) {
    throw new EtherError("usage", `${scheme[0]} is not supported yet`, { field: flag, hint: "name a local path" });
  }
  if (path === "" || path.includes("\0")) throw new EtherError("usage", "an empty path", { field: flag });
  const absolute = path.startsWith("/") ? path : `${userFolder()}/${path}`;
  const parts: string[] = [];
  for (const part of absolute.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

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
