/**
 * Writes `runtime/webgpu/shaders/*.wgsl` as one TypeScript file, so that a bundle, a package and a fresh clone have them
 * without reading files. Part of `deno task build`.
 */

const FOLDER = "runtime/webgpu/shaders";

/** The generated file. */
export const SHADERS_TARGET = "runtime/webgpu/generated.ts";

/** The TypeScript file that holds every shader of the folder, by name. */
export function renderShaders(root: URL): string {
  const names = [...Deno.readDirSync(new URL(FOLDER, root))]
    .filter(({ name }) => name.endsWith(".wgsl")).map(({ name }) => name).sort();
  const entries = names.map((name) => {
    const text = Deno.readTextFileSync(new URL(`${FOLDER}/${name}`, root));
    return `  ${name.slice(0, -".wgsl".length)}: ${JSON.stringify(withoutComments(text))},`;
  });
  return `// Generated from ${FOLDER}/ by \`deno task build\` (tasks/build_shaders.ts); do not edit.
// deno-fmt-ignore-file
// deno-lint-ignore-file

/** WGSL by the name of its file, without its comments. */
export const SHADERS = {
${entries.join("\n")}
} as const;
`;
}

/** Lines stay where they are: a message's line is the file's. */
function withoutComments(text: string): string {
  return text.split("\n").map((line) => line.replace(/\s*\/\/.*$/, "")).join("\n").trimEnd();
}
