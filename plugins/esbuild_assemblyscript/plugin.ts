/**
 * An esbuild plugin: an import of AssemblyScript is compiled in this process, and its bytes stand in the bundle.
 *
 * ```ts ignore
 * import * as esbuild from "esbuild";
 * import { assemblyScript } from "./plugins/esbuild_assemblyscript/plugin.ts";
 *
 * await esbuild.build({ entryPoints: ["main.ts"], bundle: true, plugins: [assemblyScript()] });
 * ```
 *
 * @module
 */
import { basename, dirname, resolve } from "node:path";
import { type Compiled, Compiler } from "./compile.ts";
import type { LoadResult, Plugin } from "./esbuild.ts";
import { renderBytes } from "./render.ts";

export type { Plugin } from "./esbuild.ts";

/** A module of the project that a build replaces by what AssemblyScript compiles to. */
export interface ReplacedModule {
  /** Tested against the absolute path of each file. No flags but `i`: esbuild runs it. */
  readonly filter: RegExp;
  /** Arguments of `asc`, e.g. `["--config", "asconfig.json"]`; paths are relative to the build's working directory. */
  readonly args: readonly string[];
  /** A function of this name gives the bytes, anew at each call. @default they are the default export */
  readonly functionName?: string | undefined;
}

/** How the plugin compiles. */
export interface AssemblyScriptOptions {
  /** Arguments of `asc` for imports that end with `?wasm`. @default -O3, no runtime, no assertions, SIMD */
  readonly args?: readonly string[] | undefined;
  /** Modules that are replaced. @default none */
  readonly modules?: readonly ReplacedModule[] | undefined;
  /** Deflate the bytes in the bundle, some five times smaller; the build then needs the package `fflate`. @default false */
  readonly compress?: boolean | undefined;
  /** What compiles; one that several builds share remembers for all of them. @default one of its own */
  readonly compiler?: Compiler | undefined;
}

const NAMESPACE = "assemblyscript";
const ARGS = ["-O3", "--runtime", "stub", "--noAssert", "--enable", "simd"];

/** Makes the plugin. Errors and warnings of the compiler are messages of the build, with their places. */
export function assemblyScript(options: AssemblyScriptOptions = {}): Plugin {
  const { args = ARGS, modules = [], compress = false, compiler = new Compiler() } = options;

  return {
    name: NAMESPACE,
    setup(build) {
      const folder = resolve(build.initialOptions.absWorkingDir ?? ".");

      build.onResolve({ filter: /\.ts\?wasm$/ }, async ({ path, importer, resolveDir }) => {
        const plain = path.slice(0, -"?wasm".length);
        const found = await build.resolve(plain, { kind: "import-statement", importer, resolveDir });
        return found.errors.length > 0 ? { errors: found.errors } : { path: found.path, namespace: NAMESPACE };
      });

      build.onLoad({ filter: /.*/, namespace: NAMESPACE }, async ({ path }) => {
        const compiled = await compiler.compile(dirname(path), [basename(path), ...args]);
        return loaded(compiled, dirname(path), { compress });
      });

      for (const { filter, args, functionName } of modules) {
        build.onLoad({ filter, namespace: "file" }, async ({ path }) => {
          return loaded(await compiler.compile(folder, args), dirname(path), { compress, functionName });
        });
      }
    },
  };
}

function loaded(
  { binary, errors, warnings, files }: Compiled,
  resolveDir: string,
  options: Parameters<typeof renderBytes>[1],
): LoadResult {
  // Those that were looked for in vain too: as soon as one is there, it counts.
  const messages = { errors, warnings, watchFiles: [...files.keys()] };
  if (binary === undefined) return messages;
  return { ...messages, contents: renderBytes(binary, options), loader: "js", resolveDir };
}
