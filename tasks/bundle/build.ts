/** The two bundles: the whole server, and the core for a browser. */
import * as esbuild from "esbuild";
import { Compiler } from "../../plugins/esbuild_assemblyscript/compile.ts";
import { assemblyScript } from "../../plugins/esbuild_assemblyscript/plugin.ts";
import { madeAhead } from "./made_ahead.ts";
import { packedShaders } from "./packed_shaders.ts";
import { smallCore, standIns } from "./stand_ins/plugin.ts";

/** The repository. */
export const ROOT: string = new URL("../../", import.meta.url).pathname.replace(/\/$/, "");

const compiler = new Compiler();

/**
 * What all builds share: the generated kernel module is replaced by a fresh compilation.
 *
 * @param compress  whether the kernel's bytes are deflated in it
 */
export function buildOptions(compress = true): esbuild.BuildOptions & { plugins: esbuild.Plugin[] } {
  return {
    absWorkingDir: ROOT,
    ...{ bundle: true, format: "esm", platform: "browser", target: "es2022", conditions: ["worker"] },
    ...{ metafile: true, logLevel: "silent", charset: "utf8" },
    nodePaths: [`${ROOT}/tasks/bundle/node_modules`],
    external: ["node:*"],
    loader: { ".css": "text", ".wgsl": "text" },
    define: { "Promise.withResolvers": "withResolvers" },
    inject: ["tasks/bundle/with_resolvers.ts"],
    plugins: [kernelPlugin(compress)],
  };
}

function kernelPlugin(compress: boolean): esbuild.Plugin {
  const filter = /\/runtime\/kernel\/generated\.ts$/;
  const modules = [{ filter, args: ["--config", "asconfig.json"], functionName: "kernelBytes" }];
  return assemblyScript({ modules, compress, compiler });
}

/** One of `dist/`'s files. */
export type BundleName = "edge" | "core";

/** Builds one into `folder`, with its source map beside it. @throws {esbuild.BuildFailure} */
export async function bundle(name: BundleName, folder: string): Promise<esbuild.Metafile> {
  const options = buildOptions();
  const { metafile } = await esbuild.build({
    ...options,
    entryPoints: [name === "edge" ? "main.ts" : "tasks/bundle/core.ts"],
    outfile: `${folder}/${name}.js`,
    ...{ minify: true, sourcemap: "linked", legalComments: "none" },
    plugins: [
      ...options.plugins,
      standIns(),
      ...name === "edge" ? [madeAhead(), packedShaders()] : [smallCore()],
    ],
  });
  return metafile!;
}
