/**
 * The path of a request as the client wrote it.
 *
 * A router hands out parameters that are decoded already: `..%2F` and `%00` reach a handler as `../` and NUL, and a
 * revision with an encoded slash looks like two segments. So these routes split the raw path and decode each part once.
 */
import { RequestError } from "../problem.ts";

/** The segments of a URL's path, still encoded, without those of the prefix under which the app is mounted. */
export function rawSegments(url: string, prefixCount: number): string[] {
  const path = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*([^?#]*)/i.exec(url)?.[1] ?? url.replace(/[?#].*$/s, "");
  return path.split("/").slice(1 + prefixCount);
}

/** How many segments a prefix such as `/x/:tenant` has. */
export function countSegments(prefix: string): number {
  return prefix.split("/").filter((segment) => segment !== "").length;
}

/** Decodes a part of a path once. @throws {RequestError} 400 where it is no UTF-8, or holds NUL or a backslash */
export function decodePart(text: string): string {
  let decoded: string;
  try {
    decoded = decodeURIComponent(text);
  } catch {
    throw new RequestError(400, "usage", "the path is not percent-encoded UTF-8");
  }
  if (/[\0\\]/.test(decoded)) throw new RequestError(400, "usage", "the path holds a NUL or a backslash");
  return decoded;
}

/**
 * Decodes the path of a file or directory: `a/b%20c`, and `a%2Fb`, as some clients write the slash.
 *
 * @throws {RequestError} 400 for `.`, `..` and empty segments
 */
export function decodeFilePath(segments: readonly string[]): string {
  const path = segments.map(decodePart).join("/");
  if (path.split("/").some((segment) => segment === "" || segment === "." || segment === "..")) {
    throw new RequestError(400, "usage", "the path has a segment that is empty, . or ..");
  }
  return path;
}
