/** What to do about a path that is not there. For the command line alone: it names what lies beside. */
import { nearestName } from "../runtime/adapters/nearest_name.ts";
import { EtherError } from "../runtime/error.ts";
import { quote } from "../runtime/json/quote.ts";
import { resolvePath } from "./paths.ts";

/** Names of a folder that are looked at: a hint is not worth the listing of a huge one. */
const MAX_NAMES = 10_000;

/** A `not_found` that says nothing of what to do gets a hint, if it is about a path of this machine that is not there. */
export function withPathHint(error: unknown): unknown {
  if (!(error instanceof EtherError) || error.code !== "not_found" || error.hint !== undefined) return error;
  const hint = error.file === undefined ? null : hintFor(error.file);
  if (hint === null) return error;
  const hinted = error.within({ hint });
  // `--debug` shows where it was found, not where it got its hint.
  if (error.stack !== undefined) hinted.stack = error.stack;
  return hinted;
}

/** Null where all of the path is there, or where nothing can be said. */
function hintFor(name: string): string | null {
  try {
    let folder = resolvePath(name, "PATH");
    let missing: string | null = null;
    while (!exists(folder)) {
      const slash = folder.lastIndexOf("/");
      missing = folder.slice(slash + 1);
      folder = folder.slice(0, slash) || "/";
    }
    if (missing === null) return null;
    if (!Deno.statSync(folder).isDirectory) return `${folder} is a file`;
    const names = Deno.readDirSync(folder).take(MAX_NAMES).map((entry) => entry.name);
    const nearest = nearestName(missing, names);
    return nearest === null
      ? `check the path: ${folder} has no ${quote(missing)}`
      : `the nearest name in ${folder} is ${quote(nearest)}`;
  } catch {
    // The error stands without it.
    return null;
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}
