/** `--backend webgpu` on the command line. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { REPOSITORY, run } from "../../commands/command_line.ts";
import { newPath } from "../../commands/made_files.ts";
import { gpuTest } from "./adapter.ts";

const LLAMA = `${REPOSITORY}fixtures/llama`;

function mergeInto(output: string): string[] {
  return ["merge", "--base", `${LLAMA}/base`, "--adapter", `${LLAMA}/ether`, "--output", output];
}

gpuTest("merge --backend webgpu: written, verified, and the manifest says so", async () => {
  const output = newPath("webgpu");
  const outcome = await run([...mergeInto(output), "--backend", "webgpu", "--verify", "-v"]);
  assertEquals(outcome.code, 0, outcome.stderr);
  assertMatch(outcome.stderr, /^webgpu: .*, as it was asked for$/m);
  const manifest = JSON.parse(await Deno.readTextFile(`${output}/ether-merge.json`));
  assertEquals([manifest.engine, manifest.backend], [1, "webgpu"]);
  assertEquals((await run(["verify", output])).code, 0);
});

Deno.test("webgpu: merge takes WASM by default, says why with -v, and its manifest has no backend", async () => {
  const output = newPath("auto");
  const outcome = await run([...mergeInto(output), "-v"]);
  assertEquals(outcome.code, 0, outcome.stderr);
  assertMatch(outcome.stderr, /^wasm: /m);
  assert(!("backend" in JSON.parse(await Deno.readTextFile(`${output}/ether-merge.json`))));
});

Deno.test("webgpu: --backend webgpu without an adapter is unsupported, and nothing is written", async () => {
  const output = newPath("none");
  // A driver that this machine's system has not.
  const env = { DENO_WEBGPU_BACKEND: Deno.build.os === "windows" ? "metal" : "dx12" };
  const outcome = await run([...mergeInto(output), "--backend", "webgpu"], { env });
  assertEquals(outcome.code, 1, outcome.stderr);
  assertMatch(outcome.lastLine, /^error: unsupported: webgpu: WebGPU finds no adapter; /);
  assert(!(await Deno.stat(output).then(() => true, () => false)));
});

for (const args of [["--receipt"], ["--backend", "cuda"]]) {
  Deno.test(`webgpu: --backend webgpu with ${args.join(" ")} is wrong usage`, async () => {
    const outcome = await run([...mergeInto(newPath("usage")), "--backend", "webgpu", ...args]);
    assertEquals(outcome.code, 2, outcome.stderr);
    assertMatch(outcome.lastLine, /^error: usage: --backend/);
  });
}
