/**
 * Compiles `assembly/` and writes it as TypeScript, `runtime/kernel/generated.ts`, and the shaders likewise; byte for
 * byte the same each time.
 *
 *     deno run -A tasks/build.ts            writes the files
 *     deno run -A tasks/build.ts --check    exits 1 if a file on disk is not what a build gives
 *
 * The compiler's options are in `asconfig.json`, where editors and `asc` itself find them.
 */
import asc from "assemblyscript/asc";
import { renderShaders, SHADERS_TARGET } from "./build_shaders.ts";

const ROOT = new URL("../", import.meta.url);
const TARGET = "runtime/kernel/generated.ts";

/** The bytes of the WASM module. @throws {Error} with the compiler's messages */
export async function compileKernel(): Promise<Uint8Array> {
  let binary: Uint8Array | undefined;
  const { error, stderr } = await asc.main(["--config", "asconfig.json", "--outFile", "kernel.wasm"], {
    readFile: (name, baseDir) => readText(`${baseDir}/${name}`),
    writeFile: (_name, contents) => {
      binary = contents as Uint8Array;
    },
    listFiles: () => null,
  });
  if (error !== null || binary === undefined) throw new Error(`asc failed\n${stderr.toString()}`);
  const warnings = stderr.toString().trimEnd();
  if (warnings !== "") console.error(warnings);
  return binary;
}

/** The TypeScript file that holds `binary`, in lines of 116 characters. */
export function renderKernel(binary: Uint8Array): string {
  const base64 = btoa(Array.from(binary, (byte) => String.fromCharCode(byte)).join(""));
  const lines = base64.match(/.{1,116}/g) ?? [];
  return `// Generated from assembly/ by \`deno task build\` (tasks/build.ts); do not edit.
// deno-fmt-ignore-file
// deno-lint-ignore-file

const BASE64 = \`
${lines.join("\n")}\`;

/** The kernel's WASM module, ${binary.length} bytes; decoded at each call. */
export function kernelBytes(): Uint8Array<ArrayBuffer> {
  const text = atob(BASE64.replaceAll("\\n", ""));
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
  return bytes;
}
`;
}

function readText(path: string): string | null {
  try {
    return Deno.readTextFileSync(new URL(path, ROOT));
  } catch {
    return null;
  }
}

if (import.meta.main) {
  const binary = await compileKernel();
  const check = Deno.args.includes("--check");
  let differs = false;
  for (
    const [target, source, rendered] of [
      [TARGET, "assembly/", renderKernel(binary)],
      [SHADERS_TARGET, "runtime/webgpu/shaders/", renderShaders(ROOT)],
    ] as const
  ) {
    if (!check) Deno.writeTextFileSync(new URL(target, ROOT), rendered);
    else if (readText(target) !== rendered) {
      differs = true;
      console.error(`error: ${target} is not what ${source} gives; run \`deno task build\``);
    }
  }
  if (differs) Deno.exit(1);
  if (!check) console.error(`${TARGET}: ${binary.length} bytes of WASM`);
}
