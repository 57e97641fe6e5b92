/** `deno task npm`: builds the npm package into `dist/npm`. */
import { stop } from "esbuild";
import { ROOT } from "../build.ts";
import { buildPackage } from "./package.ts";

try {
  await buildPackage(`${ROOT}/dist/npm`);
  console.log("dist/npm: npm pack ./dist/npm, or npm publish ./dist/npm");
} finally {
  await stop();
}
