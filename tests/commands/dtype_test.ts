import { assertEquals, assertMatch } from "@std/assert";
import { decodeFloat64 } from "../../fixtures/decode.ts";
import { readTensorFile } from "../../fixtures/tensor_file.ts";
import { assertDone, assertRefused, mergeArgs, run } from "./command_line.ts";
import {
  BASE_TENSORS,
  type Content,
  listFiles,
  makeAdapter,
  makeBase,
  makeFolder,
  makeShardedBase,
  newPath,
  tensorFile,
} from "./made_files.ts";

const adapter = makeAdapter();

async function cast(base: string, dtype: string, ...more: string[]): Promise<{ output: string; stderr: string }> {
  const output = newPath("out");
  const outcome = await run(mergeArgs(base, adapter, output, "--dtype", dtype, ...more));
  assertDone(outcome);
  return { output, stderr: outcome.stderr };
}

function json(path: string): Record<string, unknown> {
  return JSON.parse(Deno.readTextFileSync(path));
}

for (
  const [flag, dtype, torch] of [["f32", "F32", "float32"], ["f16", "F16", "float16"], ["bf16", "BF16", "bfloat16"]]
) {
  Deno.test(`--dtype ${flag} casts every float tensor and nothing else, and says so in config and index`, async () => {
    const base = makeShardedBase();
    const { output } = await cast(base, flag!);
    let total = 0;
    for (const path of listFiles(output).filter((path) => path.endsWith(".safetensors"))) {
      const [before, after] = [await readTensorFile(`${base}/${path}`), await readTensorFile(`${output}/${path}`)];
      assertEquals([...after.keys()], [...before.keys()]);
      for (const [name, tensor] of after) {
        total += tensor.bytes.byteLength;
        const original = before.get(name)!;
        assertEquals(tensor.dtype, original.dtype === "I64" ? "I64" : dtype);
        assertEquals(tensor.shape, original.shape);
        if (original.dtype === "I64") assertEquals(tensor.bytes, original.bytes);
        else if (!name.includes("up_proj")) assertEquals(decodeFloat64(tensor), decodeFloat64(original), name);
      }
    }
    assertEquals(json(`${output}/config.json`).torch_dtype, torch);
    assertEquals("dtype" in json(`${output}/config.json`), false);
    assertEquals((json(`${output}/model.safetensors.index.json`).metadata as { total_size: number }).total_size, total);
  });
}

const CONFIGS: Readonly<Record<string, readonly [before: Content, after: Content]>> = {
  "dtype alone": [{ dtype: "bfloat16" }, { dtype: "float32" }],
  "both names": [{ torch_dtype: "bfloat16", dtype: "bfloat16" }, { torch_dtype: "float32", dtype: "float32" }],
  "neither name": [{ model_type: "x" }, { model_type: "x", dtype: "float32" }],
  "a text_config": [
    { dtype: "bfloat16", text_config: { torch_dtype: "bfloat16" } },
    { dtype: "float32", text_config: { torch_dtype: "float32" } },
  ],
};

for (const [name, [before, after]] of Object.entries(CONFIGS)) {
  Deno.test(`--dtype sets the dtype of a config with ${name}`, async () => {
    const { output } = await cast(makeBase({ "config.json": before }), "f32");
    assertEquals(json(`${output}/config.json`), after as Record<string, unknown>);
  });
}

Deno.test("a config that is written anew keeps its other fields as they were, digit for digit", async () => {
  const config = '{"rms_norm_eps": 1e-06, "big": 12345678901234567890, "dtype": "bfloat16", "é": [1.0, -0], "z": null}';
  const { output } = await cast(makeBase({ "config.json": config }), "f32");
  const text = Deno.readTextFileSync(`${output}/config.json`);
  for (const part of ["1e-06", "12345678901234567890", '"dtype": "float32"', "1.0", "-0", '"é"', "null"]) {
    assertEquals(text.includes(part), true, part);
  }
});

Deno.test("a shard whose floats have the dtype already keeps its header verbatim", async () => {
  const tensors = { "model.layers.0.mlp.up_proj.weight": { dtype: "BF16", shape: [12, 8] } } as const;
  const base = makeFolder({ "model.safetensors": tensorFile(tensors, { format: "pt" }) }, "base");
  const { output } = await cast(base, "bf16");
  const [before, after] = [base, output].map((folder) => Deno.readFileSync(`${folder}/model.safetensors`));
  const headerLength = before!.byteLength - 2 * 12 * 8;
  assertEquals(after!.slice(0, headerLength), before!.slice(0, headerLength));
});

Deno.test("--dtype keep is the default: config and index byte for byte", async () => {
  const base = makeShardedBase();
  const { output } = await cast(base, "keep");
  for (const path of ["config.json", "model.safetensors.index.json"]) {
    assertEquals(Deno.readFileSync(`${output}/${path}`), Deno.readFileSync(`${base}/${path}`));
  }
});

Deno.test("a value that overflows the new dtype is a warning that names the tensor and counts", async () => {
  const bytes = new Uint8Array(Float32Array.of(1e38, -1e38, 70000, 1, Infinity, NaN, 2, 3).buffer);
  const tensors = { ...BASE_TENSORS, "model.norm.weight": { dtype: "F32", shape: [8], bytes } } as const;
  const { output, stderr } = await cast(makeBase({ "model.safetensors": tensorFile(tensors) }), "f16");
  assertMatch(stderr, /^warning: model\.norm\.weight: 3 finite values became infinite in the new dtype$/m);
  const norm = (await readTensorFile(`${output}/model.safetensors`)).get("model.norm.weight")!;
  assertEquals([...decodeFloat64(norm)], [Infinity, -Infinity, Infinity, 1, Infinity, NaN, 2, 3]);
});

Deno.test("strength 0 with a cast casts and does no more", async () => {
  const base = makeBase();
  const { output } = await cast(base, "f32", "--strength", "0");
  const name = "model.layers.0.mlp.up_proj.weight";
  const [before, after] = [base, output].map((folder) => readTensorFile(`${folder}/model.safetensors`));
  assertEquals((await after!).get(name)!.bytes, (await before!).get(name)!.bytes);
});

Deno.test("a single file is cast too, and has no config to set", async () => {
  const { output } = await cast(`${makeBase()}/model.safetensors`, "f16");
  assertEquals(listFiles(output), ["ether-merge.json", "model.safetensors"]);
});

const TARGETS = { "base_model.model.w.ether_u_in": { dtype: "F32", shape: [2, 4] } } as const;

for (const dtype of ["F64", "I8", "U8", "F8_E4M3", "BOOL", "I32", "C64"] as const) {
  Deno.test(`a target of ${dtype} is unsupported_dtype`, async () => {
    const base = makeFolder({ "model.safetensors": tensorFile({ "w.weight": { dtype, shape: [8, 8] } }) });
    const outcome = await run(mergeArgs(base, makeAdapter({}, TARGETS), newPath()));
    assertRefused(
      outcome,
      1,
      new RegExp(`^error: unsupported_dtype: .*w\\.weight has dtype ${dtype}; merge into the F32`),
    );
  });
}

for (const shape of [[8], [2, 8, 8], [8, 8, 1, 1], []]) {
  Deno.test(`a target of rank ${shape.length} is bad_shape`, async () => {
    const base = makeFolder({ "model.safetensors": tensorFile({ "w.weight": { dtype: "F32", shape } }) });
    const outcome = await run(mergeArgs(base, makeAdapter({}, TARGETS), newPath()));
    assertRefused(outcome, 1, /^error: bad_shape: .*w\.weight has shape \[.*\]; ETHER is defined on matrices/);
  });
}

Deno.test("a quantised base is unsupported_dtype wherever the config says it; null does not count", async () => {
  for (const config of [{ quantization_config: {} }, { text_config: { quantization_config: { bits: 4 } } }]) {
    const base = makeBase({ "config.json": config });
    const outcome = await run(mergeArgs(base, adapter, newPath()));
    assertRefused(outcome, 1, /^error: unsupported_dtype: .*is of a quantised base; merge into the F32/);
  }
  assertDone(await run(mergeArgs(makeBase({ "config.json": { quantization_config: null } }), adapter, newPath())));
});
