/** The shaders in a bundle, deflated: a third of their size, and only who has a GPU unpacks them. */
import type { Plugin } from "esbuild";
import { SHADERS } from "../../runtime/webgpu/generated.ts";
import { packTexts } from "./pack_texts.ts";

/** Makes the plugin. */
export function packedShaders(): Plugin {
  return {
    name: "packed-shaders",
    setup(build) {
      build.onLoad({ filter: /\/runtime\/webgpu\/generated\.ts$/ }, ({ path }) => {
        const getters = Object.keys(SHADERS).map((name, index) => `get ${name}() { return texts()[${index}]; }`);
        const contents = `${packTexts(Object.values(SHADERS))}\nexport const SHADERS = { ${getters.join(", ")} };`;
        return { contents, loader: "js", resolveDir: path.slice(0, path.lastIndexOf("/")) };
      });
    },
  };
}
