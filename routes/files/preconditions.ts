/** Conditional requests (RFC 9110, section 13), for files that have a strong entity tag and no date. */

/** What the conditions of a request make of it. */
export type Verdict = "proceed" | "not-modified" | "failed";

interface EntityTag {
  readonly weak: boolean;
  readonly opaque: string;
}

/**
 * Judges `If-Match` and `If-None-Match`, in this order. Conditions on dates do not count: the files have none.
 *
 * @param headers  of a GET or HEAD
 * @param etag     the file's, without quotes
 */
export function judgePreconditions(headers: Headers, etag: string): Verdict {
  const match = headers.get("if-match");
  if (match !== null && !includes(match, (tag) => !tag.weak && tag.opaque === etag)) return "failed";
  const noneMatch = headers.get("if-none-match");
  if (noneMatch !== null && includes(noneMatch, (tag) => tag.opaque === etag)) return "not-modified";
  return "proceed";
}

/** True where a `Range` counts: there is no `If-Range`, or it is the file's own strong tag. A date never is. */
export function rangeApplies(headers: Headers, etag: string): boolean {
  const ifRange = headers.get("if-range");
  return ifRange === null || ifRange.trim() === `"${etag}"`;
}

/** `*` stands for any tag. A list that breaks the grammar has the tags before the break. */
function includes(header: string, matches: (tag: EntityTag) => boolean): boolean {
  if (header.trim() === "*") return true;
  for (const found of header.matchAll(/[ \t,]*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?=,|$)/gy)) {
    if (matches({ weak: found[1] !== undefined, opaque: found[2]! })) return true;
  }
  return false;
}
