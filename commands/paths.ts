/** Paths as the user means them. */
import { fileURLToPath } from "node:url";
import { realPathOf } from "../runtime/deno/real_path.ts";
import { EtherError } from "../runtime/error.ts";

export { isWithin, realPathOf } from "../runtime/deno/real_path.ts";

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
    throw new EtherError("usage", `${scheme[0]} is not supported here`, { field: flag, hint: "name a local path" });
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
