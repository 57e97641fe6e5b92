/** The core as a browser gets it, the suite, and their data, in a folder that any host can read. */
import * as esbuild from "esbuild";
import { bundle, ROOT } from "../../tasks/bundle/build.ts";
import { kernelBytes } from "../../runtime/kernel/generated.ts";
import { type Fixtures, packFixtures } from "./suite.ts";

/** Makes `core.js`, `suite.js`, `fixtures.bin` and `kernel.wasm`. */
export async function buildInto(folder: string, fixtures: Fixtures): Promise<void> {
  await bundle("core", folder);
  await esbuild.build({
    ...{ absWorkingDir: ROOT, entryPoints: ["tests/runtimes/suite.ts"], outfile: `${folder}/suite.js` },
    ...{ bundle: true, format: "esm", target: "es2022", logLevel: "silent" },
  });
  await esbuild.stop();
  await Deno.writeFile(`${folder}/fixtures.bin`, packFixtures(fixtures));
  await Deno.writeFile(`${folder}/kernel.wasm`, kernelBytes());
  // Node takes `.js` for a module where a package says so.
  await Deno.writeTextFile(`${folder}/package.json`, `{ "type": "module" }`);
}

/** The golden cases, the small model with its adapters, and the descriptions of hostile files. */
export async function readFixtures(): Promise<Fixtures> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const add = async (from: string, to: string, wanted: RegExp) => {
    for await (const { name, isFile } of Deno.readDir(`${ROOT}/fixtures/${from}`)) {
      if (isFile && wanted.test(name)) {
        files.set(`${to}/${name}`, await Deno.readFile(`${ROOT}/fixtures/${from}/${name}`));
      }
    }
  };
  await add("golden/ether", "golden", /^cases\.json$/);
  for await (const { name, isDirectory } of Deno.readDir(`${ROOT}/fixtures/golden/ether`)) {
    if (isDirectory) {
      await add(`golden/ether/${name}`, `golden/${name}`, /^(base|adapter(\.\d+)?)\.safetensors$|config\.json$/);
    }
  }
  for (const name of ["base", "ether", "etherplus", "etherplus-reference"]) {
    await add(`llama/${name}`, `llama/${name}`, /\.(json|safetensors)$/);
  }
  await add("hostile", "hostile", /\.json$/);
  return new Map([...files].sort(([a], [b]) => a < b ? -1 : 1));
}
