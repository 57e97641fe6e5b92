import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { headState } from "../../../runtime/checkpoints/tied.ts";
import { openModel } from "../../../runtime/deno/library.ts";
import { EtherError } from "../../../runtime/error.ts";
import { BASE_TENSORS, type MadeTensor, makeBase, makeFolder, newPath, tensorFile } from "../../commands/made_files.ts";

Deno.test("openModel reads what decides a merge from config.json", async () => {
  const config = {
    ...{ architectures: ["LlamaForCausalLM"], model_type: "llama", tie_word_embeddings: true },
    ...{ quantization_config: { quant_method: "awq" } },
  };
  const { checkpoints, singleFile } = await openModel(makeBase({ "config.json": config }));
  const { document: _, ...facts } = checkpoints[0]!.config!;
  assertEquals(facts, { modelType: "llama", architecture: "LlamaForCausalLM", tied: true, quantized: true });
  assertEquals(singleFile, false);
});

Deno.test("openModel: a multimodal config's text_config counts", async () => {
  for (
    const [part, facts] of [[{ tie_word_embeddings: true }, [true, false]], [{ quantization_config: {} }, [
      false,
      true,
    ]]]
  ) {
    const { checkpoints } = await openModel(makeBase({ "config.json": { text_config: part } }));
    assertEquals([checkpoints[0]!.config!.tied, checkpoints[0]!.config!.quantized], facts as boolean[]);
  }
});

Deno.test("openModel: null and absent are the same; a missing config is none", async () => {
  const nulls = { model_type: null, tie_word_embeddings: null, quantization_config: null, architectures: null };
  for (const config of [nulls, {}, { architectures: [] }, { text_config: null }]) {
    const { document: _, ...facts } = (await openModel(makeBase({ "config.json": config }))).checkpoints[0]!.config!;
    assertEquals(facts, { modelType: null, architecture: null, tied: false, quantized: false });
  }
  const bare = await openModel(makeFolder({ "model.safetensors": tensorFile(BASE_TENSORS) }));
  assertEquals(bare.checkpoints[0]!.config, null);
});

const WRONG: readonly (readonly [config: object, field: string])[] = [
  [{ tie_word_embeddings: "true" }, "tie_word_embeddings"],
  [{ tie_word_embeddings: 1 }, "tie_word_embeddings"],
  [{ model_type: 1 }, "model_type"],
  [{ quantization_config: true }, "quantization_config"],
  [{ text_config: { tie_word_embeddings: "no" } }, "text_config.tie_word_embeddings"],
];

for (const [config, field] of WRONG) {
  Deno.test(`openModel: config.json ${JSON.stringify(config)} is bad_config`, async () => {
    const error = await assertRejects(() => openModel(makeBase({ "config.json": { ...config } })), EtherError);
    assertEquals([error.code, error.field], ["bad_config", field]);
    assertMatch(error.file!, /config\.json$/);
  });
}

Deno.test("openModel: one named file must be a .safetensors file", async () => {
  const folder = makeFolder({ "x.bin": "x", "x.safetensors": tensorFile(BASE_TENSORS), "config.json": {} });
  const error = await assertRejects(() => openModel(`${folder}/x.bin`), EtherError);
  assertEquals(error.code, "unsupported_format");
  const { singleFile, smallFiles, leftOut } = await openModel(`${folder}/x.safetensors`);
  assertEquals([singleFile, smallFiles.length, leftOut.length], [true, 0, 0]);
  assertEquals((await assertRejects(() => openModel(newPath()), EtherError)).code, "not_found");
});

Deno.test("openModel: a model of no tensors is a model", async () => {
  const { tensors } = await openModel(makeFolder({ "model.safetensors": tensorFile({}) }));
  assertEquals(tensors.size, 0);
});

const row: MadeTensor = { dtype: "F32", shape: [4, 2] };
const vector: MadeTensor = { dtype: "F32", shape: [4] };

/** Tensors, what the config says, and whether the head is tied. */
const HEADS:
  readonly (readonly [name: string, tensors: Record<string, MadeTensor>, said: boolean | null, tied: boolean])[] = [
    ["embedding and head", { "embed_tokens.weight": row, "lm_head.weight": row }, null, false],
    ["embedding and head, said to be tied", { "embed_tokens.weight": row, "lm_head.weight": row }, true, true],
    ["an embedding alone", { "model.embed_tokens.weight": row }, null, true],
    ["an embedding alone, said to be untied", { "model.embed_tokens.weight": row }, false, true],
    ["GPT-2's", { "transformer.wte.weight": row, "transformer.wpe.weight": row }, null, true],
    ["GPT-NeoX's", { "gpt_neox.embed_in.weight": row, "embed_out.weight": row }, null, false],
    ["Bloom's", { "word_embeddings.weight": row }, null, true],
    ["an embedding that is no matrix", { "embed_tokens.weight": vector }, null, false],
    ["a name that only ends alike", { "my_embed_tokens.weight": row, "lm_head_norm.weight": row }, null, false],
    ["a bias named like a head", { "embed_tokens.weight": row, "lm_head.bias": vector }, null, true],
    ["no embedding", { "x.weight": row }, null, false],
  ];

for (const [name, tensors, said, tied] of HEADS) {
  Deno.test(`headState: ${name} is ${tied ? "tied" : "not tied"}`, async () => {
    const config = said === null ? {} : { tie_word_embeddings: said };
    const folder = makeFolder({ "config.json": config, "model.safetensors": tensorFile(tensors) });
    assertEquals(headState(await openModel(folder)).tied, tied);
  });
}
