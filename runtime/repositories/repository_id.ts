/** Names of repositories, as every Hub client accepts them. */

const SEGMENT = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?$/;

/** True for `name` and `owner/name` as Hub clients take them; they refuse anything else before they ask. */
export function isRepositoryId(text: string): boolean {
  const segments = text.split("/");
  return segments.length <= 2 && segments.every(isRepositorySegment);
}

/** True for what may stand on either side of the slash. */
export function isRepositorySegment(text: string): boolean {
  // `--` stands for the slash in a client's cache.
  return SEGMENT.test(text) && !text.includes("--") && !text.includes("..") && !/\.git$/i.test(text);
}
