/** What is smaller in the bundle than in its sources does what the sources do. */
import { assertEquals } from "../../testing/assert.ts";
import * as esbuild from "esbuild";
import { openApp } from "../../main.ts";
import { SHADERS } from "../../runtime/webgpu/generated.ts";
import { buildOptions, ROOT } from "../../tasks/bundle/build.ts";
import { packedShaders } from "../../tasks/bundle/packed_shaders.ts";
import { standIns } from "../../tasks/bundle/stand_ins/plugin.ts";

const smaller = await bundled();

Deno.test("standIns: the router that the bundle has is the one that the app comes to anyway", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "ether-edge-router-" });
  using _cleanup = { [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }) };
  const app = await openApp({ models: folder, adapters: folder }, { log: () => {} });
  assertEquals((await app.request("/healthz")).status, 200);
  assertEquals(app.router.name, "SmartRouter + TrieRouter");
});

Deno.test("packedShaders: names and texts are those of the generated module", () => {
  assertEquals({ ...smaller.SHADERS }, { ...SHADERS });
});

async function bundled(): Promise<{ SHADERS: typeof SHADERS }> {
  const options = buildOptions();
  const { outputFiles } = await esbuild.build({
    ...options,
    stdin: {
      contents: `export { SHADERS } from "./runtime/webgpu/generated.ts";`,
      resolveDir: ROOT,
    },
    write: false,
    plugins: [...options.plugins, standIns(), packedShaders()],
  });
  await esbuild.stop();
  return await import(`data:text/javascript;base64,${outputFiles[0]!.contents.toBase64()}`);
}
