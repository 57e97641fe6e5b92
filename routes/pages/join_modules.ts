/**
 * Modules as one: each stands alone in its file, with imports that tools understand, and together in the page.
 *
 * A module is written with single-line imports, and exports only what it declares at its top level; names at the top
 * level are used once in all of them.
 *
 * @param texts  each after those that it imports
 */
export function joinModules(texts: readonly string[]): string {
  return texts.map((text) =>
    text
      .replace(/^import [^\n]*;\n/gm, "")
      .replace(/^export (?=(async )?function |const |class )/gm, "")
      // What explains the source is not sent.
      .replace(/^ *(\/\*\*[\s\S]*?\*\/|\/\/[^\n]*)\n/gm, "")
      .replace(/\n{2,}/g, "\n")
  ).join("");
}
