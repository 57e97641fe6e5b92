/** Small modules in the place of packages and parts that are far larger than what a bundle needs of them. */
import type { Plugin, PluginBuild } from "esbuild";

const FOLDER = new URL(".", import.meta.url).pathname;

/** zod brings its messages in fifty languages, and exports them as one object. */
const ENGLISH = `export { default as en } from "./en.js";`;

/** The plugin for every bundle. */
export function standIns(): Plugin {
  return {
    name: "stand-ins",
    setup(build) {
      replace(build, /^re2js$/, "re2js.ts");
      build.onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, ({ path }) => {
        return { contents: ENGLISH, loader: "js", resolveDir: path.slice(0, path.lastIndexOf("/")) };
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

function replace(build: PluginBuild, filter: RegExp, name: string): void {
  build.onResolve({ filter }, () => ({ path: FOLDER + name }));
}
