/** What a Hub URL means: the repository, the revision and the file, read off its raw segments. */
import { isRepositoryId } from "../../runtime/repositories/repository_id.ts";
import { decodeFilePath, decodePart } from "./raw_path.ts";

/** What is asked of a repository. */
export type Target =
  | { readonly kind: "file"; readonly action: "resolve" | "raw"; readonly revision: string; readonly path: string }
  | { readonly kind: "model" }
  | { readonly kind: "revision"; readonly revision: string }
  /** `path` is empty for the root. */
  | { readonly kind: "tree"; readonly revision: string; readonly path: string }
  | { readonly kind: "paths-info"; readonly revision: string }
  | { readonly kind: "refs" }
  | { readonly kind: "commits"; readonly revision: string }
  | { readonly kind: "auth-check" };

/** One way to read a URL. */
export interface Reading {
  /** `name` or `owner/name`. */
  readonly repository: string;
  readonly target: Target;
}

/** A URL of the Hub. */
export type HubUrl =
  /** One reading; two where a part may be a repository's name or a revision's: the repository that exists decides. */
  | { readonly kind: "repository"; readonly readings: readonly Reading[] }
  /** A repository of another kind than models, or a name that none can have. */
  | { readonly kind: "unknown-repository"; readonly target: Target["kind"] }
  | { readonly kind: "whoami" }
  | { readonly kind: "agent-harnesses" };

/** First segments that are no repository's. */
const RESERVED = ["api", "datasets", "spaces", "v1"];

/**
 * Reads a URL; null where it is none of the Hub's.
 *
 * @param segments  raw, without the app's own prefix
 * @throws {RequestError} 400 where a part cannot be decoded, or a path leaves the repository
 */
export function readHubUrl(segments: readonly string[]): HubUrl | null {
  const [first, second, ...rest] = segments;
  if (first === "api") {
    if (second === "whoami-v2" && rest.length === 0) return { kind: "whoami" };
    if (second === "agent-harnesses" && rest.length === 0) return { kind: "agent-harnesses" };
    if (second === "models" && rest.length > 0) return readEach(rest, apiTarget);
    if ((second === "datasets" || second === "spaces") && rest.length > 0) {
      return { kind: "unknown-repository", target: "model" };
    }
    return null;
  }
  if (first === "datasets" || first === "spaces") {
    const isFile = segments.slice(2, 4).some((segment) => segment === "resolve" || segment === "raw");
    return isFile ? { kind: "unknown-repository", target: "file" } : null;
  }
  return readEach(segments, fileTarget);
}

/** Tries the repository's name with two segments, then with one. */
function readEach(segments: readonly string[], readTarget: (rest: readonly string[]) => Target | null): HubUrl | null {
  const readings: Reading[] = [];
  let refused: Target["kind"] | null = null;
  for (const count of [2, 1]) {
    if (segments.length < count) continue;
    const target = readTarget(segments.slice(count));
    if (target === null) continue;
    const name = segments.slice(0, count).map(decodePart);
    const repository = name.join("/");
    const isName = name.every((part) => !part.includes("/")) && isRepositoryId(repository);
    if (isName && !RESERVED.includes(name[0]!)) readings.push({ repository, target });
    else refused ??= target.kind;
  }
  if (readings.length > 0) return { kind: "repository", readings };
  return refused === null ? null : { kind: "unknown-repository", target: refused };
}

function fileTarget([action, revision, ...path]: readonly string[]): Target | null {
  if (action !== "resolve" && action !== "raw") return null;
  if (revision === undefined || revision === "" || path.join("") === "") return null;
  return { kind: "file", action, revision: decodePart(revision), path: decodeFilePath(path) };
}

function apiTarget(rest: readonly string[]): Target | null {
  const [action, revision, ...path] = rest;
  if (action === undefined) return { kind: "model" };
  if (revision === undefined) {
    return action === "refs" || action === "auth-check" ? { kind: action } : null;
  }
  if (revision === "") return null;
  if (action === "tree") {
    // A directory may end in a slash, and the root may be named by one.
    const directory = path.at(-1) === "" ? path.slice(0, -1) : path;
    return {
      kind: "tree",
      revision: decodePart(revision),
      path: directory.length === 0 ? "" : decodeFilePath(directory),
    };
  }
  if (path.length > 0) return null;
  if (action === "revision" || action === "paths-info" || action === "commits") {
    return { kind: action, revision: decodePart(revision) };
  }
  return null;
}
