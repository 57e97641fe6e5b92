/** The npm package: modules that share what they have in common, declarations, the kernel as a file, and no scripts. */
import * as esbuild from "esbuild";
import { kernelBytes } from "../../../runtime/kernel/generated.ts";
import denoJson from "../../../deno.json" with { type: "json" };
import { buildOptions, ROOT } from "../build.ts";
import { writeTypes } from "./package_types.ts";

const ENTRIES = ["core", "node", "server"];

/** Writes the package into `folder`, which is removed first. @throws {Error} where a build or a type check fails */
export async function buildPackage(folder: string): Promise<void> {
  await Deno.remove(folder, { recursive: true }).catch(() => {});
  const dependencies = await buildModules(folder);
  await writeTypes(ENTRIES, `${folder}/types`);
  await Deno.writeFile(`${folder}/kernel.wasm`, kernelBytes());
  await Deno.copyFile(`${ROOT}/LICENSE`, `${folder}/LICENSE`);
  await Deno.copyFile(`${ROOT}/tasks/bundle/npm/README.md`, `${folder}/README.md`);
  const manifest = {
    ...{ name: denoJson.name, version: denoJson.version, license: denoJson.license, type: "module" },
    description: "ETHER adapters merged into base models, streamed, or applied to activations",
    keywords: ["safetensors", "adapters", "peft", "ether", "merge"],
    engines: { node: ">=20" },
    sideEffects: false,
    exports: {
      ".": exported("core"),
      "./node": exported("node"),
      "./server": exported("server"),
      "./kernel.wasm": "./kernel.wasm",
    },
    dependencies,
  };
  await Deno.writeTextFile(`${folder}/package.json`, JSON.stringify(manifest, null, 2) + "\n");
}

function exported(entry: string): { types: string; default: string } {
  return { types: `./types/${entry}.d.ts`, default: `./${entry}.js` };
}

/** @returns the packages that the modules import, with the versions that this project tests */
async function buildModules(folder: string): Promise<Record<string, string>> {
  const { metafile } = await esbuild.build({
    ...buildOptions(false),
    entryPoints: ENTRIES.map((entry) => `tasks/bundle/npm/${entry}.ts`),
    ...{ outdir: folder, outbase: "tasks/bundle/npm", splitting: true, chunkNames: "chunks/[name]-[hash]" },
    ...{ packages: "external", platform: "neutral" },
  });
  const versions = new Map(
    Object.entries<string>(denoJson.imports).map(([name, specifier]) => {
      return [name, specifier.slice(specifier.lastIndexOf("@") + 1)];
    }),
  );
  const dependencies: Record<string, string> = {};
  for (const { imports } of Object.values(metafile!.outputs)) {
    for (const { path, external } of imports) {
      if (!external || path.startsWith("node:")) continue;
      const name = /^(@[^/]+\/)?[^/]+/.exec(path)![0];
      const version = versions.get(name);
      if (version === undefined) throw new Error(`${path} is not in the import map`);
      dependencies[name] = version;
    }
  }
  return Object.fromEntries(Object.entries(dependencies).sort(([a], [b]) => a < b ? -1 : 1));
}
