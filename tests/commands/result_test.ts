import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { assertDone, mergeArgs, run } from "./command_line.ts";
import { listFiles, makeAdapter, makeBase, newPath } from "./made_files.ts";

const base = makeBase();
const adapter = makeAdapter();

Deno.test("merge --json prints one document that describes the output", async () => {
  const output = newPath();
  const outcome = await run(mergeArgs(base, adapter, output, "--json"));
  assertDone(outcome);
  const { seconds, ...document } = JSON.parse(outcome.stdout);
  assert(seconds > 0);
  const bytes = listFiles(output).reduce((sum, path) => sum + Deno.statSync(`${output}/${path}`).size, 0);
  const manifest = `${output}/ether-merge.json`;
  assertEquals(document, { output, manifest, transformed: 1, copied: 6, cast: 0, bytes });
  assertEquals(JSON.parse(Deno.readTextFileSync(manifest)).version, 1);
});

Deno.test("merge --json counts the tensors that are only cast, planned and written", async () => {
  for (const more of [["--dry-run"], []]) {
    const { stdout } = await run(mergeArgs(base, adapter, newPath(), "--json", "--dtype", "f32", ...more));
    const { transformed, copied, cast } = JSON.parse(stdout);
    // Of seven: one transformed, one of integers and one norm of F32 copied.
    assertEquals([Array.isArray(transformed) ? transformed.length : transformed, copied, cast], [1, 2, 4]);
  }
});

Deno.test("--dry-run --receipt names the receipt, and writes none", async () => {
  const output = newPath("out");
  const text = await run(mergeArgs(base, adapter, output, "--dry-run", "--receipt"));
  assertDone(text);
  assertStringIncludes(text.stdout, `\nreceipt    ${output}.receipt.safetensors`);
  const { stdout } = await run(mergeArgs(base, adapter, output, "--dry-run", "--receipt=r", "--json"));
  assertEquals(JSON.parse(stdout).receipt, { path: "r" });
  assertEquals([...Deno.readDirSync(output.replace(/\/out$/, ""))], []);
});

Deno.test("merge says what it did on stdout, and nothing on stderr with -q", async () => {
  const { code, stdout, stderr } = await run(mergeArgs(base, adapter, newPath("out"), "-q"));
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /^merged 1 of 7 tensors of .*base into .*out\n[\d.]+ [kM]?B in [\d.]+ s, .*\/s\n$/);
});

Deno.test("merge --verify says that the output was read again, and without it does not", async () => {
  const { stdout } = await run(mergeArgs(base, adapter, newPath("out"), "--verify"));
  assertMatch(stdout, /\/s, verified\n$/);
  assertEquals((await run(mergeArgs(base, adapter, newPath("out")))).stdout.includes("verified"), false);
});

Deno.test("-v says with how many workers and how much memory", async () => {
  const { stderr } = await run(mergeArgs(base, adapter, newPath(), "-v", "--workers", "2"));
  assertMatch(stderr, /^2 workers, [\d.]+ MB for tiles/m);
});

Deno.test("--dry-run prints the plan and writes nothing, not even the parents of the output", async () => {
  const parent = newPath("parent");
  const outcome = await run(mergeArgs(base, adapter, `${parent}/out`, "--dry-run"));
  assertDone(outcome);
  assertStringIncludes(outcome.stdout, "transform  model.layers.0.mlp.up_proj.weight  ether:in");
  for (const line of [/^copy +6 tensors unchanged/m, /^write +[\d.]+ k?B in 3 files/m, /^memory +/m]) {
    assertMatch(outcome.stdout, line);
  }
  assertEquals(Deno.statSync(parent.replace(/\/parent$/, "")).isDirectory, true);
  assertEquals([...Deno.readDirSync(parent.replace(/\/parent$/, ""))], []);
});

Deno.test("--dry-run --json is the plan as one document", async () => {
  const { stdout } = await run(mergeArgs(base, adapter, "out", "--dry-run", "--json", "--workers", "3"));
  const { memory, bytes, ...plan } = JSON.parse(stdout);
  assert(memory >= 3 << 20 && bytes > 0);
  assertEquals({ ...plan, files: plan.files.map(({ path }: { path: string }) => path) }, {
    ...{ output: "out", copied: 6, cast: 0, left_out: [], warnings: [], workers: 3 },
    transformed: [{ name: "model.layers.0.mlp.up_proj.weight", file: "model.safetensors", ops: ["ether:in"] }],
    files: ["model.safetensors", "config.json"],
  });
});

Deno.test("--dry-run makes the checks of the output too", async () => {
  const existing = makeBase();
  const { code, lastLine } = await run(mergeArgs(base, adapter, existing, "--dry-run"));
  assertEquals([code, lastLine.startsWith("error: exists: ")], [1, true]);
});

Deno.test("an error with --json is one document on stdout and still the line on stderr", async () => {
  const outcome = await run(mergeArgs(base, makeAdapter({ num_blocks: 3 }), newPath(), "--json"));
  const { error } = JSON.parse(outcome.stdout);
  assertEquals(Object.keys(error), ["code", "message", "file", "tensor", "field", "hint"]);
  assertEquals([outcome.code, error.code, error.field], [1, "bad_blocks", "num_blocks"]);
  assertEquals(error.tensor, "base_model.model.model.layers.0.mlp.up_proj.ether_u_in");
  assertMatch(error.file, /adapter_model\.safetensors$/);
  const where = `${error.file}: ${error.tensor}: ${error.field}`;
  const hint = error.hint === null ? "" : `; ${error.hint}`;
  assertEquals(outcome.lastLine, `error: bad_blocks: ${where}: ${error.message}${hint}`);
});

Deno.test("demo --json is one document", async () => {
  const { code, stdout } = await run(["demo", "--json"]);
  const { loss, range } = JSON.parse(stdout);
  assertEquals(code, 0);
  assert(loss.after < loss.before);
  assertEquals(range.end - range.start, 65_536);
});

Deno.test("a reader that goes away is no error", async () => {
  const command = `${JSON.stringify(Deno.execPath())} run -A "$0" inspect "$1" | true; echo "\${PIPESTATUS[0]}"`;
  const cli = new URL("../../cli.ts", import.meta.url).pathname;
  const { stdout, stderr } = await new Deno.Command("bash", { args: ["-c", command, cli, base] }).output();
  assertEquals(new TextDecoder().decode(stderr), "");
  assertEquals(new TextDecoder().decode(stdout), "0\n");
});
