import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { assertDone, assertRefused, mergeArgs, run } from "./command_line.ts";
import {
  addFiles,
  BASE_TENSORS,
  listFiles,
  makeAdapter,
  makeBase,
  makeFolder,
  makeShardedBase,
  newPath,
  tensorFile,
} from "./made_files.ts";

Deno.test("inspect of a model names its parameters, dtypes, shards and every tensor", async () => {
  const { code, stdout, stderr } = await run(["inspect", makeShardedBase({ "pytorch_model.bin": "x" })]);
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /^parameters 523 in 7 tensors$/m);
  assertMatch(stdout, /^weights +\S+ \S+ of BF16, F32, F16, I64$/m);
  assertMatch(stdout, /^model-00002-of-00002\.safetensors +4 +/m);
  for (const [name, { dtype, shape }] of Object.entries(BASE_TENSORS)) {
    assertMatch(stdout, new RegExp(`^${name.replaceAll(".", "\\.")} +${dtype} +\\[${shape.join(",")}\\]$`, "m"));
  }
  assertStringIncludes(stdout, "a merge leaves out pytorch_model.bin");
});

Deno.test("inspect --json of a model is one document with every tensor", async () => {
  const { stdout } = await run(["inspect", makeShardedBase(), "--json"]);
  const document = JSON.parse(stdout);
  assertEquals([document.kind, document.model_type, document.tied, document.quantized], [
    "model",
    "llama",
    false,
    false,
  ]);
  assertEquals(document.parameters, 523);
  assertEquals(document.tensors.map(({ name }: { name: string }) => name), Object.keys(BASE_TENSORS));
  assertEquals(document.files.map(({ sha256 }: { sha256: null }) => sha256), [null, null]);
});

Deno.test("inspect of an adapter names variant, sides, layout and modules; with --base what it changes", async () => {
  const adapter = makeAdapter({ strength: 0.5 });
  const alone = await run(["inspect", adapter]);
  assertDone(alone);
  for (const line of ["method     ETHER", "variant    ether", "sides      in", "layout     paper", "strength   0.5"]) {
    assertStringIncludes(alone.stdout, `${line}\n`);
  }
  assertMatch(alone.stdout, /^digest +sha256:[0-9a-f]{64}$/m);
  const pair = await run(["inspect", adapter, "--base", makeBase()]);
  assertDone(pair);
  assertMatch(pair.stdout, /^fits +.*base: changes 1 tensor$/m);
  const { targets, digest } = JSON.parse((await run(["inspect", adapter, "--base", makeBase(), "--json"])).stdout);
  assertEquals(targets.length, 1);
  assertStringIncludes(alone.stdout, digest);
});

Deno.test("inspect knows an adapter by its one file, and a model that carries an adapter config", async () => {
  const { stdout } = await run(["inspect", `${makeAdapter()}/adapter_model.safetensors`, "--json"]);
  assertEquals(JSON.parse(stdout).kind, "adapter");
  const model = await run(["inspect", makeBase({ "adapter_config.json": {} }), "--json"]);
  assertEquals(JSON.parse(model.stdout).kind, "model");
});

Deno.test("inspect --base makes the checks that merge makes, in the same words", async () => {
  const base = makeBase();
  const broken = [
    makeAdapter({ num_blocks: 3 }),
    makeAdapter({ layout: undefined }),
    makeAdapter({ target_modules: ["nothing"] }),
    makeAdapter({}, { "base_model.model.gone.ether_u_in": { dtype: "F32", shape: [2, 4] } }),
    makeAdapter({}, { "base_model.model.model.norm.ether_u_in": { dtype: "F32", shape: [2, 4] } }),
    makeAdapter({ base_fingerprint: { structure: "0".repeat(64) } }),
  ];
  for (const adapter of broken) {
    const [inspected, merged] = [
      await run(["inspect", adapter, "--base", base]),
      await run(mergeArgs(base, adapter, newPath())),
    ];
    assertEquals([inspected.code, inspected.lastLine], [1, merged.lastLine]);
  }
});

Deno.test("inspect --sha256 writes sidecars as sha256sum does; a later merge records them without reading", async () => {
  const base = makeShardedBase();
  for (const path of listFiles(base)) Deno.utimeSync(`${base}/${path}`, 1_000_000, 1_000_000);
  const { code, stdout } = await run(["inspect", base, "--sha256", "--json"]);
  assertEquals(code, 0);
  const { files } = JSON.parse(stdout);
  for (const { path, sha256 } of files) {
    assertEquals(Deno.readTextFileSync(`${base}/${path}.sha256`), `${sha256}  ${path}\n`);
  }
  assertEquals(listFiles(base).filter((path) => path.includes(".partial")), []);
  const output = newPath();
  assertDone(await run(mergeArgs(base, makeAdapter(), output)));
  const manifest = JSON.parse(Deno.readTextFileSync(`${output}/ether-merge.json`));
  const recorded = manifest.base.files.filter(({ path }: { path: string }) => path.endsWith(".safetensors"));
  assertEquals(
    recorded.map(({ digest }: { digest: string }) => digest),
    files.map(({ sha256 }: { sha256: string }) => `sha256:${sha256}`),
  );
  assertEquals(listFiles(output).some((path) => path.endsWith(".sha256")), false);
});

Deno.test("inspect of a broken model refuses it and names the file", async () => {
  const cut = tensorFile(BASE_TENSORS).slice(0, -1);
  const outcome = await run(["inspect", makeBase({ "model.safetensors": cut })]);
  assertRefused(outcome, 1, /^error: bad_header: .*model\.safetensors: .*; the file may be cut short$/);
  const config = await run(["inspect", makeBase({ "config.json": "{" })]);
  assertRefused(config, 1, /^error: bad_config: .*base\/config\.json: /);
});

Deno.test("inspect warns of fields that are ignored", async () => {
  const { code, stderr } = await run(["inspect", makeAdapter({ num_block: 1 })]);
  assertEquals(code, 0);
  assertMatch(stderr, /^warning: .*ignored field num_block\n$/);
});

Deno.test("inspect of a folder that is neither is refused with what it takes", async () => {
  assertRefused(
    await run(["inspect", makeFolder({ "a.txt": "x" })]),
    1,
    /^error: unsupported_format: .*; name a folder/,
  );
  const folder = makeFolder({});
  addFiles(folder, { "adapter_config.json": {} });
  assertRefused(await run(["inspect", folder]), 1, /^error: not_found: .*no adapter_model\.safetensors/);
  assert(listFiles(folder).length === 1);
});
