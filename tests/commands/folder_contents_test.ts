import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
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

const adapter = makeAdapter();

/** Merges and gives the output's path and what was said on stderr. */
async function merged(base: string, ...more: string[]): Promise<{ output: string; stderr: string }> {
  const output = newPath("out");
  const outcome = await run(mergeArgs(base, adapter, output, ...more));
  assertDone(outcome);
  return { output, stderr: outcome.stderr };
}

/** 8 + N bytes of a file. */
function headerOf(path: string): Uint8Array {
  const bytes = Deno.readFileSync(path);
  return bytes.slice(0, 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true)));
}

Deno.test("the output has the base's shards, headers verbatim, shards without a target byte for byte", async () => {
  const base = makeShardedBase({ "generation_config.json": { a: 1 }, "sub/vocab.txt": "x\r\n" });
  const { output } = await merged(base);
  assertEquals(listFiles(output), [...listFiles(base), "ether-merge.json"].sort());
  const [first, second] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;
  assertEquals(headerOf(`${output}/${first}`), headerOf(`${base}/${first}`));
  assertNotEquals(Deno.readFileSync(`${output}/${first}`), Deno.readFileSync(`${base}/${first}`));
  for (const path of listFiles(base).filter((path) => path !== first)) {
    assertEquals(Deno.readFileSync(`${output}/${path}`), Deno.readFileSync(`${base}/${path}`), path);
  }
  assert(second);
});

const WEIGHTS = [
  ...["pytorch_model.bin", "pytorch_model.bin.index.json", "original/consolidated.00.pth", "original/params.json"],
  ...["model.fp16.safetensors", "model.safetensors.index.fp16.json", "tf_model.h5", "flax_model.msgpack"],
  ...["model-q4.gguf", "onnx/model.onnx", "onnx/model.onnx_data", "rust.npz", "old.ckpt", "mobile.tflite", "a.pt"],
];

Deno.test("other weight files stay behind, and are named on stderr and in the manifest", async () => {
  const base = makeBase(Object.fromEntries(WEIGHTS.map((path) => [path, "weights"])));
  const { output, stderr } = await merged(base);
  assertEquals(listFiles(output), ["config.json", "ether-merge.json", "model.safetensors"]);
  const { left_out } = JSON.parse(Deno.readTextFileSync(`${output}/ether-merge.json`));
  assertEquals(left_out, [...WEIGHTS].sort());
  assertEquals(stderr.trimEnd(), `left out, as they hold the base's weights: ${left_out.join(", ")}`);
});

Deno.test("what belongs to the base's copy alone stays behind without a word", async () => {
  const base = makeBase({
    ...{ "adapter_config.json": {}, "model.safetensors.sha256": "0", "ether-merge.json": {}, ".gitattributes": "x" },
    ...{ ".cache/huggingface/x.lock": "", "sub/.hidden": "", "sub/model.sha256": "0" },
  });
  Deno.symlinkSync(`${makeFolder({ secret: "x" })}/secret`, `${base}/link.json`);
  Deno.symlinkSync(makeFolder({ secret: "x" }), `${base}/folder`);
  Deno.symlinkSync("nowhere", `${base}/dangling.json`);
  Deno.symlinkSync("config.json", `${base}/inner-link.json`);
  const { output, stderr } = await merged(base);
  assertEquals(listFiles(output), ["config.json", "ether-merge.json", "inner-link.json", "model.safetensors"]);
  assertEquals(Deno.lstatSync(`${output}/inner-link.json`).isFile, true);
  assertEquals(stderr, "");
});

Deno.test("from a single file: one shard of its name and the manifest; its config is read, never copied", async () => {
  const base = makeBase({ "tokenizer.json": "{}", "other.safetensors": tensorFile(BASE_TENSORS) });
  const { output } = await merged(`${base}/other.safetensors`);
  assertEquals(listFiles(output), ["ether-merge.json", "other.safetensors"]);
  addFiles(base, { "config.json": { quantization_config: { bits: 4 } } });
  assertRefused(await run(mergeArgs(`${base}/other.safetensors`, adapter, newPath())), 1, "unsupported_dtype");
});

/** A snapshot as `huggingface_hub` lays it out: links to blobs that are named by their SHA-256. */
async function makeHubCache(): Promise<{ root: string; snapshot: string }> {
  const files = makeShardedBase();
  const commit = "0123456789abcdef0123456789abcdef01234567";
  const root = makeFolder({ "refs/main": commit, ".no_exist/x": "" }, "models--org--name");
  const snapshot = `${root}/snapshots/${commit}`;
  Deno.mkdirSync(snapshot, { recursive: true });
  Deno.mkdirSync(`${root}/blobs`);
  for (const path of listFiles(files)) {
    const bytes = Deno.readFileSync(`${files}/${path}`);
    const name = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
    Deno.writeFileSync(`${root}/blobs/${name}`, bytes);
    Deno.symlinkSync(`../../blobs/${name}`, `${snapshot}/${path}`);
  }
  return { root, snapshot };
}

Deno.test("a Hub cache folder and its snapshot merge alike, to real files, its blobs' names recorded", async () => {
  const { root, snapshot } = await makeHubCache();
  const [byRoot, bySnapshot] = [await merged(root, "--sha256"), await merged(snapshot, "--sha256")];
  assertEquals(listFiles(byRoot.output), [...listFiles(snapshot), "ether-merge.json"].sort());
  const manifest = Deno.readTextFileSync(`${byRoot.output}/ether-merge.json`);
  assertEquals(manifest, Deno.readTextFileSync(`${bySnapshot.output}/ether-merge.json`));
  for (const { path, digest } of JSON.parse(manifest).base.files) {
    assertStringIncludes(Deno.readLinkSync(`${snapshot}/${path}`), digest.replace("sha256:", "blobs/"));
    assert(Deno.lstatSync(`${byRoot.output}/${path}`).isFile);
  }
});

Deno.test("one file of a Hub cache's snapshot is a base, under its own name", async () => {
  const { snapshot } = await makeHubCache();
  const { output } = await merged(`${snapshot}/model-00001-of-00002.safetensors`);
  assertEquals(listFiles(output), ["ether-merge.json", "model-00001-of-00002.safetensors"]);
});

Deno.test("a shard that is a link out of the folder is refused, and the message says so", async () => {
  const base = makeShardedBase();
  const elsewhere = newPath();
  Deno.renameSync(`${base}/model-00002-of-00002.safetensors`, elsewhere);
  Deno.symlinkSync(elsewhere, `${base}/model-00002-of-00002.safetensors`);
  const outcome = await run(mergeArgs(base, adapter, newPath()));
  assertRefused(outcome, 1, /^error: bad_index: .*model\.safetensors\.index\.json: weight_map: .*link that leaves/);
});

Deno.test("a diffusers repository keeps its folders; each weight set is its own", async () => {
  const unet = { "up.weight": { dtype: "F32", shape: [8, 8] } } as const;
  const base = makeFolder({
    "model_index.json": { _class_name: "StableDiffusionPipeline" },
    "unet/config.json": {},
    "unet/diffusion_pytorch_model.safetensors": tensorFile(unet),
    "unet/diffusion_pytorch_model.fp16.safetensors": tensorFile(unet),
    "text_encoder/config.json": {},
    "text_encoder/model.safetensors": tensorFile({ "te.weight": { dtype: "F32", shape: [8, 8] } }),
    "scheduler/scheduler_config.json": {},
    "v1-5-pruned.safetensors": tensorFile(unet),
  }, "base");
  const output = newPath("out");
  const forUnet = makeAdapter({}, { "base_model.model.up.ether_u_in": { dtype: "F32", shape: [2, 4] } });
  const outcome = await run(mergeArgs(base, forUnet, output));
  assertDone(outcome);
  const expected = listFiles(base).filter((path) => !/fp16|pruned/.test(path));
  assertEquals(listFiles(output), [...expected, "ether-merge.json"].sort());
  const { tensors, left_out } = JSON.parse(Deno.readTextFileSync(`${output}/ether-merge.json`));
  assertEquals(tensors[0].file, "unet/diffusion_pytorch_model.safetensors");
  assertEquals(left_out, ["unet/diffusion_pytorch_model.fp16.safetensors", "v1-5-pruned.safetensors"]);
  const same = "text_encoder/model.safetensors";
  assertEquals(Deno.readFileSync(`${output}/${same}`), Deno.readFileSync(`${base}/${same}`));
});

Deno.test("strength 0 leaves every weight file byte-identical", async () => {
  const base = makeShardedBase();
  const { output } = await merged(base, "--strength", "0");
  for (const path of listFiles(base)) {
    assertEquals(Deno.readFileSync(`${output}/${path}`), Deno.readFileSync(`${base}/${path}`), path);
  }
});

Deno.test("equal inputs give an equal manifest and equal bytes for any number of workers, with no absolute path", async () => {
  const base = makeShardedBase();
  const [one, ...others] = await Promise.all(["1", "2", "3"].map((workers) => merged(base, "--workers", workers)));
  for (const path of listFiles(one!.output)) {
    const bytes = Deno.readFileSync(`${one!.output}/${path}`);
    for (const { output } of others) assertEquals(Deno.readFileSync(`${output}/${path}`), bytes, path);
  }
  const manifest = Deno.readTextFileSync(`${one!.output}/ether-merge.json`);
  assertEquals(manifest.includes(base.split("/")[1]! + "/"), false, "an absolute path in the manifest");
  const { version, engine, base: { files }, adapters, outputs, tensors } = JSON.parse(manifest);
  assertEquals([version, engine], [1, 1]);
  assertEquals(files.map(({ path }: { path: string }) => path), listFiles(base));
  assertEquals(Object.keys(adapters[0]).slice(0, 3), ["digest", "peft_type", "strength"]);
  assertEquals(outputs.map(({ path }: { path: string }) => path), listFiles(base));
  assertEquals(tensors, [{
    name: "model.layers.0.mlp.up_proj.weight",
    file: "model-00001-of-00002.safetensors",
    ops: ["ether:in"],
  }]);
});

Deno.test("a merged folder is a base again; its manifest does not come along", async () => {
  const base = makeBase();
  const { output } = await merged(base);
  const twice = await merged(output);
  assertEquals(listFiles(twice.output), ["config.json", "ether-merge.json", "model.safetensors"]);
  assertNotEquals(
    Deno.readTextFileSync(`${twice.output}/ether-merge.json`),
    Deno.readTextFileSync(`${output}/ether-merge.json`),
  );
});

Deno.test("a file in a subfolder of a Hub cache's snapshot is checked with its config: a quantised one is refused", async () => {
  const files = { "model.safetensors": tensorFile(BASE_TENSORS), "config.json": { quantization_config: { bits: 8 } } };
  const blobs = makeFolder(files, "blobs");
  const snapshot = blobs.replace(/blobs$/, "snapshots/main/sub");
  Deno.mkdirSync(snapshot, { recursive: true });
  for (const name of Object.keys(files)) Deno.symlinkSync(`../../../blobs/${name}`, `${snapshot}/${name}`);
  for (const path of [snapshot, `${snapshot}/model.safetensors`]) {
    assertRefused(await run(mergeArgs(path, adapter, newPath())), 1, "unsupported_dtype");
  }
});

Deno.test("a file or folder whose name is no UTF-8 stays behind, with a warning", async () => {
  const base = makeBase({ "caf\u00e9.json": "{}" });
  // Names are bytes, which only a shell can write.
  const script = 'echo {} > "$(printf "caf\\351.json")"; mkdir "$(printf "d\\351")"; echo > "$(printf "d\\351/x")"';
  assertEquals((await new Deno.Command("sh", { args: ["-c", script], cwd: base }).output()).code, 0);
  const { output, stderr } = await merged(base);
  assertEquals(listFiles(output), ["caf\u00e9.json", "config.json", "ether-merge.json", "model.safetensors"]);
  for (const name of ["caf\uFFFD.json", "d\uFFFD"]) {
    assertStringIncludes(stderr, `${name} stays behind: its name is no UTF-8`);
  }
});
