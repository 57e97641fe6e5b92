/** Small modules in the place of packages and parts that are far larger than what a bundle needs of them. */
import type { Plugin, PluginBuild } from "esbuild";

const FOLDER = new URL(".", import.meta.url).pathname;

/** zod brings its messages in fifty languages, and exports them as one object. */
const ENGLISH = `export { default as en } from "./en.js";`;

/** Of Hono's two routers the first gives up at patterns like the app's: the second is what answers anyway. */
const ONE_ROUTER = `import { HonoBase } from "./hono-base.js";
  import { TrieRouter } from "./router/trie-router/router.js";
  export class Hono extends HonoBase {
    constructor(options = {}) {
      super(options);
      this.router = options.router ?? new TrieRouter();
    }
  }`;

/** The plugin for every bundle. */
export function standIns(): Plugin {
  return {
    name: "stand-ins",
    setup(build) {
      replace(build, /^re2js$/, "re2js.ts");
      build.onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, ({ path }) => {
        return { contents: ENGLISH, loader: "js", resolveDir: folderOf(path) };
      });
      build.onLoad({ filter: /\/hono\/dist\/hono\.js$/ }, ({ path }) => {
        return { contents: ONE_ROUTER, loader: "js", resolveDir: folderOf(path) };
      });
    },
  };
}

/** The plugin that leaves official checkpoints and WebGPU out of the core. */
export function smallCore(): Plugin {
  return {
    name: "small-core",
    setup(build) {
      replace(build, /\/official\/open_official\.ts$/, "open_official.ts");
      replace(build, /\/webgpu\/apply_device\.ts$/, "apply_device.ts");
    },
  };
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function replace(build: PluginBuild, filter: RegExp, name: string): void {
  build.onResolve({ filter }, () => ({ path: FOLDER + name }));
}
