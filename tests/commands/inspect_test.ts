import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { assertDone, assertRefused, mergeArgs, REPOSITORY, run } from "./command_line.ts";
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

Deno.test("inspect of an adapter says what LoRA and OFT would need on its targets, as far as it knows them", async () => {
  const { compared } = JSON.parse((await run(["inspect", makeAdapter(), "--json"])).stdout);
  assertEquals(compared, { lora_r8: null, oft: { num_blocks: 2, half: 16, skew: 12 } });
  const withBase = await run(["inspect", makeAdapter(), "--base", makeBase()]);
  assertMatch(withBase.stdout, /^beside it +LoRA r=8: 160$/m);
  assertMatch(withBase.stdout, /^beside it +OFT in 2 blocks: 16 as n²\/2 a block, 12 as n\(n−1\)\/2$/m);
  const both = makeAdapter({ sides: ["in", "out"] }, {
    "base_model.model.model.layers.0.mlp.up_proj.ether_u_in": { dtype: "F32", shape: [2, 4] },
    "base_model.model.model.layers.0.mlp.up_proj.ether_u_out": { dtype: "F32", shape: [2, 6] },
  });
  assertEquals(JSON.parse((await run(["inspect", both, "--json"])).stdout).compared.lora_r8, 160);
  const out = makeAdapter({ sides: ["out"], layout: undefined }, {
    "base_model.model.model.layers.0.mlp.up_proj.ether_u_out": { dtype: "F32", shape: [2, 6] },
  });
  assertEquals(JSON.parse((await run(["inspect", out, "--json"])).stdout).compared, { lora_r8: null, oft: null });
});

Deno.test("inspect --base measures each target: distances, rank, energy", async () => {
  const args = ["inspect", makeAdapter(), "--base", makeBase()];
  const { targets: [target] } = JSON.parse((await run([...args, "--json"])).stdout);
  assertEquals([target.name, target.ops, target.shape], [
    ...["model.layers.0.mlp.up_proj.weight", ["ether:in"], [12, 8]],
  ]);
  assertEquals(target.sides, [{ side: "in", op: "ether:in", distance: 2 * Math.SQRT2, angles: null }]);
  assertEquals([target.rank, target.rank_bound, target.energy.rows, target.energy.exact], [2, 2, 12, true]);
  assert(target.weight_distance > 0 && target.weight_distance < 2);
  assert(Math.abs(target.norm_ratio - 1) < 1e-6 && Math.abs(target.energy.relative_change.value) < 1e-6);
  const { stdout } = await run(args);
  const row = /^model\.layers\.0\.mlp\.up_proj\.weight +2\.828 +\d\.\d+ +2 ≤ 2 +[\d.]+ +0$/m;
  assertMatch(stdout, row);
  assertMatch(stdout, /^every target: ether:in$/m);
});

Deno.test("inspect measures an official checkpoint as it is, and finds what its converted form has", async () => {
  const lit = `${REPOSITORY}fixtures/golden/ether/lit/mha-etherplusHH-bf16`;
  const folder = [...Deno.readDirSync(lit)].find(({ isDirectory }) => isDirectory)!.name;
  const read = async (adapter: string) => {
    const { code, stdout, stderr } = await run(["inspect", adapter, "--base", `${lit}/base.safetensors`, "--json"]);
    assertEquals(code, 0, stderr);
    const { parameters, compared, targets } = JSON.parse(stdout);
    return { parameters, compared, targets };
  };
  const official = await read(`${lit}/${folder}`);
  assertEquals(official, await read(`${lit}/adapter.safetensors`));
  assertEquals(official.targets.length, 15);
  assert(official.targets.every(({ rank, rank_bound }: { rank: number; rank_bound: number }) => rank <= rank_bound));
});

Deno.test("inspect --html writes one page that asks nobody for anything, and escapes names", async () => {
  const name = 'model.layers.0.</script><b>"x"';
  const base = makeFolder({ "model.safetensors": tensorFile({ [`${name}.weight`]: { dtype: "F32", shape: [8, 8] } }) });
  const adapter = makeAdapter({}, { [`base_model.model.${name}.ether_u_in`]: { dtype: "F32", shape: [2, 4] } });
  const page = newPath("page.html");
  for (const _ of ["new", "written over"]) assertDone(await run(["inspect", adapter, "--base", base, "--html", page]));
  const text = Deno.readTextFileSync(page);
  assertMatch(text, /^<!doctype html>\n/);
  assertStringIncludes(text, "uPlot");
  assertEquals(text.match(/<(?:link|img|iframe|script[^>]+src)\b|url\(|@import|\bfetch\(|XMLHttpRequest/g), null);
  assertStringIncludes(text, "default-src 'none'");
  assert(!text.includes("<b>"), "a name went into the page as it was");
  assertEquals(text.match(/<script>/g)?.length, 2);
  const data = /<script type="application\/json" id="data">(.*)<\/script>/.exec(text)![1]!;
  const { layers: [layer] } = JSON.parse(data);
  assertEquals([layer.name, layer.targets[0].name], ["model.layers.0", name.slice("model.layers.0.".length)]);
  assertEquals(layer.targets[0].profile.in.length, 8);
});

Deno.test("inspect --html needs a base, and writes over nothing but its own pages", async () => {
  const page = newPath("page.html");
  assertRefused(await run(["inspect", makeAdapter(), "--html", page]), 2, /^error: usage: --html: .*--base$/);
  assertRefused(await run(["inspect", makeBase(), "--html", page]), 2, /^error: usage: .*--html goes with an adapter$/);
  Deno.writeTextFileSync(page, "mine");
  const args = ["inspect", makeAdapter(), "--base", makeBase(), "--html", page];
  assertRefused(await run(args), 1, /^error: exists: .*page\.html/);
  assertEquals(Deno.readTextFileSync(page), "mine");
  assertRefused(await run([...args.slice(0, -1), `${newPath()}/page.html`]), 1, "not_found");
});

Deno.test("inspect --sha256 writes sidecars as sha256sum does; a later merge --sha256 records them", async () => {
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
  assertDone(await run(mergeArgs(base, makeAdapter(), output, "--sha256")));
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
