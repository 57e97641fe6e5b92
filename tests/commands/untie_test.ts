import { assertEquals, assertMatch } from "@std/assert";
import { readTensorFile } from "../../fixtures/tensor_file.ts";
import { assertDone, assertRefused, mergeArgs, run } from "./command_line.ts";
import {
  BASE_TENSORS,
  type Content,
  listFiles,
  type MadeTensor,
  makeAdapter,
  makeFolder,
  newPath,
  tensorFile,
} from "./made_files.ts";

const HEAD_TENSORS = { "base_model.model.lm_head.ether_u_in": { dtype: "F32", shape: [2, 4] } } as const;
const headAdapter = makeAdapter({}, HEAD_TENSORS);
const { "lm_head.weight": head, ...WITHOUT_HEAD } = BASE_TENSORS;

/** A tied model of two shards, the embedding in the second. */
function makeTied(config: Content = { tie_word_embeddings: true }): string {
  const { "model.embed_tokens.weight": embedding, ...others } = WITHOUT_HEAD;
  const first = tensorFile(others);
  const second = tensorFile({ "model.embed_tokens.weight": embedding }, { format: "pt" });
  const map: Record<string, string> = { "model.embed_tokens.weight": "model-2.safetensors" };
  for (const name of Object.keys(others)) map[name] = "model-1.safetensors";
  return makeFolder({
    ...{ "config.json": config, "model-1.safetensors": first, "model-2.safetensors": second },
    "model.safetensors.index.json": { metadata: { total_size: 1, total_parameters: 500 }, weight_map: map },
  }, "base");
}

/** A tied model of one file. */
function makeOneFile(tensors: Readonly<Record<string, MadeTensor>>, config: Content = {}): string {
  return makeFolder({ "config.json": config, "model.safetensors": tensorFile(tensors) }, "base");
}

function json(path: string): { [field: string]: unknown } {
  return JSON.parse(Deno.readTextFileSync(path));
}

Deno.test("a head adapter on a tied model is tied_head, whether config or tensors say it", async () => {
  const bases = [makeTied(), makeTied({}), makeOneFile(BASE_TENSORS, { tie_word_embeddings: true })];
  for (const base of [...bases, makeOneFile(BASE_TENSORS, { text_config: { tie_word_embeddings: true } })]) {
    const outcome = await run(mergeArgs(base, headAdapter, newPath()));
    assertRefused(outcome, 1, /^error: tied_head: .*lm_head shares its weight with .*; --untie gives the head/);
  }
});

Deno.test("--untie writes a head after the embedding, and fixes config and index", async () => {
  const base = makeTied();
  const output = newPath("out");
  const outcome = await run(mergeArgs(base, headAdapter, output, "--untie"));
  assertDone(outcome);
  assertEquals(listFiles(output), [...listFiles(base), "ether-merge.json"].sort());
  assertEquals(Deno.readFileSync(`${output}/model-1.safetensors`), Deno.readFileSync(`${base}/model-1.safetensors`));
  const shard = await readTensorFile(`${output}/model-2.safetensors`);
  assertEquals([...shard.keys()], ["model.embed_tokens.weight", "lm_head.weight"]);
  const embedding = (await readTensorFile(`${base}/model-2.safetensors`)).get("model.embed_tokens.weight")!;
  assertEquals(shard.get("model.embed_tokens.weight"), embedding);
  assertEquals(shard.get("lm_head.weight")!.shape, embedding.shape);
  assertEquals(shard.get("lm_head.weight")!.bytes.every((byte, i) => byte === embedding.bytes[i]), false);
  assertEquals(json(`${output}/config.json`), { tie_word_embeddings: false });

  const { metadata, weight_map } = json(`${output}/model.safetensors.index.json`);
  assertEquals((weight_map as Record<string, string>)["lm_head.weight"], "model-2.safetensors");
  const sizes = [await readTensorFile(`${output}/model-1.safetensors`), shard].flatMap((file) => [...file.values()]);
  const total_size = sizes.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
  assertEquals(metadata, { total_size, total_parameters: 500 + 16 * 8 });
  assertDone(await run(["verify", output]));
});

Deno.test("the head of --untie starts from the embedding's bytes, before any adapter", async () => {
  const base = makeTied();
  const output = newPath("out");
  assertDone(await run(mergeArgs(base, headAdapter, output, "--untie", "--strength", "0")));
  const shard = await readTensorFile(`${output}/model-2.safetensors`);
  assertEquals(shard.get("lm_head.weight"), shard.get("model.embed_tokens.weight"));
});

Deno.test("an adapter of both embedding and head acts once on each", async () => {
  const both = makeAdapter({}, {
    ...HEAD_TENSORS,
    "base_model.model.model.embed_tokens.ether_u_in": { dtype: "F32", shape: [2, 4] },
  });
  const output = newPath("out");
  assertDone(await run(mergeArgs(makeTied(), both, output, "--untie")));
  const { tensors } = json(`${output}/ether-merge.json`) as { tensors: { name: string; ops: string[] }[] };
  assertEquals(tensors.map(({ name, ops }) => `${name} ${ops}`), [
    "model.embed_tokens.weight ether:in",
    "lm_head.weight ether:in",
  ]);
});

Deno.test("--untie where the head has a tensor of its own changes the config only", async () => {
  const base = makeOneFile(BASE_TENSORS, { tie_word_embeddings: true, text_config: { tie_word_embeddings: true } });
  const output = newPath("out");
  assertDone(await run(mergeArgs(base, headAdapter, output, "--untie")));
  const [before, after] = [base, output].map((folder) => readTensorFile(`${folder}/model.safetensors`));
  assertEquals([...(await after!).keys()], [...(await before!).keys()]);
  const config = { tie_word_embeddings: false, text_config: { tie_word_embeddings: false } };
  assertEquals(json(`${output}/config.json`), config);
});

Deno.test("--untie of a single file says what to set in its config", async () => {
  const base = makeOneFile(WITHOUT_HEAD);
  const output = newPath("out");
  const outcome = await run(mergeArgs(`${base}/model.safetensors`, headAdapter, output, "--untie"));
  assertDone(outcome);
  assertMatch(outcome.stderr, /^warning: set tie_word_embeddings to false in the config/m);
  assertEquals(listFiles(output), ["ether-merge.json", "model.safetensors"]);
  assertEquals((await readTensorFile(`${output}/model.safetensors`)).has("lm_head.weight"), true);
});

Deno.test("--untie of a folder without a config is not_found: there is nothing to set", async () => {
  const base = makeFolder({ "model.safetensors": tensorFile(WITHOUT_HEAD) });
  assertRefused(await run(mergeArgs(base, headAdapter, newPath(), "--untie")), 1, /^error: not_found: .*config\.json/);
});

Deno.test("--untie with no embedding, or two, is unsupported", async () => {
  const { "model.embed_tokens.weight": embedding, ...none } = WITHOUT_HEAD;
  const two = { ...WITHOUT_HEAD, "decoder.embed_tokens.weight": embedding };
  for (const tensors of [none, two]) {
    const base = makeOneFile(tensors, { tie_word_embeddings: true });
    const outcome = await run(mergeArgs(base, headAdapter, newPath(), "--untie"));
    assertRefused(outcome, 1, /^error: unsupported: .*--untie: cannot tell which embedding the head shares/);
  }
});

Deno.test("--untie of a model that is not tied is a warning, and changes nothing else", async () => {
  const base = makeOneFile(BASE_TENSORS, { tie_word_embeddings: false });
  const [with_, without] = [newPath("out"), newPath("out")];
  const outcome = await run(mergeArgs(base, headAdapter, with_, "--untie"));
  assertDone(outcome);
  assertMatch(outcome.stderr, /^warning: .*nothing to untie$/m);
  assertDone(await run(mergeArgs(base, headAdapter, without)));
  for (const path of listFiles(with_)) {
    assertEquals(Deno.readFileSync(`${with_}/${path}`), Deno.readFileSync(`${without}/${path}`));
  }
});

Deno.test("GPT-NeoX's head is embed_out", async () => {
  const base = makeOneFile({ "gpt_neox.embed_in.weight": head });
  const adapter = makeAdapter({}, { "base_model.model.embed_out.ether_u_in": { dtype: "F32", shape: [2, 4] } });
  assertRefused(await run(mergeArgs(base, adapter, newPath())), 1, "tied_head");
  const output = newPath("out");
  assertDone(await run(mergeArgs(base, adapter, output, "--untie")));
  assertEquals((await readTensorFile(`${output}/model.safetensors`)).has("embed_out.weight"), true);
});

Deno.test("--untie and --dtype together: the new head is cast too", async () => {
  const output = newPath("out");
  assertDone(await run(mergeArgs(makeTied(), headAdapter, output, "--untie", "--dtype", "f32")));
  const shard = await readTensorFile(`${output}/model-2.safetensors`);
  assertEquals([...shard.values()].map(({ dtype }) => dtype), ["F32", "F32"]);
});

Deno.test("a change of a tied embedding is a warning: the output head changes with it", async () => {
  const adapter = makeAdapter({}, {
    "base_model.model.model.embed_tokens.ether_u_in": { dtype: "F32", shape: [2, 4] },
  });
  const warned = await run(mergeArgs(makeTied(), adapter, newPath()));
  assertDone(warned);
  assertMatch(warned.stderr, /embed_tokens\.weight is the output head too/);
  const untied = await run([...mergeArgs(makeTied(), adapter, newPath()), "--untie"]);
  assertDone(untied);
  assertEquals(/output head too/.test(untied.stderr), false);
});

Deno.test("a change of an embedding that the config ties to a stored head is tied_head; --untie keeps the head", async () => {
  const adapter = makeAdapter({}, {
    "base_model.model.model.embed_tokens.ether_u_in": { dtype: "F32", shape: [2, 4] },
  });
  const base = makeOneFile(BASE_TENSORS, { tie_word_embeddings: true });
  assertRefused(
    await run(mergeArgs(base, adapter, newPath())),
    1,
    /^error: tied_head: .*model\.embed_tokens\.weight: .*lm_head\.weight.* stored too.*; --untie sets/,
  );
  const output = newPath("out");
  assertDone(await run(mergeArgs(base, adapter, output, "--untie")));
  assertEquals(json(`${output}/config.json`), { tie_word_embeddings: false });
  const [before, after] = [base, output].map((folder) => readTensorFile(`${folder}/model.safetensors`));
  const name = "model.embed_tokens.weight";
  assertEquals((await after!).get("lm_head.weight"), (await before!).get("lm_head.weight"));
  assertEquals((await before!).get(name)!.bytes.join() === (await after!).get(name)!.bytes.join(), false);
  assertDone(await run(mergeArgs(makeOneFile(BASE_TENSORS, { tie_word_embeddings: false }), adapter, newPath())));
});
