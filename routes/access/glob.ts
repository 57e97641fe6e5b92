/** Patterns of adapter ids in which `*` stands for any text, and nothing else is special. */

/** True where a pattern covers all of a text. Takes time in proportion to text × the pattern's parts, at worst. */
export function matchesGlob(pattern: string, text: string): boolean {
  const [prefix, ...rest] = pattern.split("*") as [string, ...string[]];
  const suffix = rest.pop();
  if (suffix === undefined) return pattern === text;
  if (prefix.length + suffix.length > text.length) return false;
  if (!text.startsWith(prefix) || !text.endsWith(suffix)) return false;
  const end = text.length - suffix.length;
  // The leftmost place of each part leaves the most room for those that follow.
  let from = prefix.length;
  for (const part of rest) {
    const found = text.indexOf(part, from);
    if (found === -1 || found + part.length > end) return false;
    from = found + part.length;
  }
  return true;
}
