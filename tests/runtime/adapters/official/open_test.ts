/** How an official checkpoint is found, read and told apart; what of it is in its digest. */
import { assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { type Adapter, openAdapter, type OpenAdapterOptions } from "../../../../runtime/adapters/adapter.ts";
import { parseTrainingName } from "../../../../runtime/adapters/official/folder_name.ts";
import { isOfficial } from "../../../../runtime/adapters/official/find.ts";
import { openPlace } from "../../../../runtime/deno/file_folder.ts";
import { fileStorage } from "../../../../runtime/deno/merge_folder.ts";
import { EtherError } from "../../../../runtime/error.ts";
import { toPlain } from "../../../../runtime/json/plain.ts";
import { addFiles, type Content, makeAdapter, makeFolder } from "../../../commands/made_files.ts";
import { dict, pickle, type SavedTensor, tensor, torchFile, torchFileOf } from "../../torch/torch_file.ts";
import { makeOfficial } from "./official_model.ts";

async function open(path: string, options?: OpenAdapterOptions): Promise<Adapter> {
  return await openAdapter(await openPlace(path), fileStorage.openSource, fileStorage.startDigest, options);
}

const LIT = {
  ...{ name: "tiny", hf_config: { org: "o", name: "tiny" }, _mlp_class: "LLaMAMLP", n_embd: 8, n_head: 2 },
  ...{ intermediate_size: 12 },
};
const FILE = "lit_model_ether_finetuned.pth";

function saved(shapes: Readonly<Record<string, readonly number[]>>): Uint8Array<ArrayBuffer> {
  const tensors = Object.entries(shapes).map(([key, shape]): [string, SavedTensor] => {
    const count = shape.reduce((a, b) => a * b, 1);
    const bytes = new Uint8Array(Float32Array.from({ length: count }, (_, i) => i + 1).buffer);
    return [key, { dtype: "F32", shape, bytes }];
  });
  return torchFile(Object.fromEntries(tensors));
}

const PROJ = "transformer.h.0.attn.proj.ether_R";
const GOOD = saved({ [PROJ]: [2, 4] });
const make = (files: Readonly<Record<string, Content>>) => makeFolder(files, "run");

Deno.test("an official checkpoint is found by its file, or in training's folder; an adapter folder stays one", async () => {
  const folder = make({ [FILE]: GOOD, "iter-000100-ckpt.pth": GOOD, "lit_config.json": LIT });
  for (const path of [folder, `${folder}/${FILE}`, `${folder}/iter-000100-ckpt.pth`]) {
    assertEquals(await isOfficial(await openPlace(path)), true, path);
    const { peftType, header } = await open(path);
    assertEquals(
      [peftType, header.tensors.map(({ name, shape }) => `${name} ${shape}`)],
      ["ETHER", ["base_model.model.model.layers.0.self_attn.o_proj.ether_u_in 2,4"]],
    );
  }
  const adapter = makeAdapter();
  addFiles(adapter, { [FILE]: GOOD });
  assertEquals(await isOfficial(await openPlace(adapter)), false);
  assertEquals((await open(adapter)).config.has("litgpt"), false);
});

Deno.test("lit_config.json: the named one, else beside, else one folder up, else not_found", async () => {
  const named = { ...LIT, hf_config: { org: "o", name: "named" } };
  const beside = { ...LIT, hf_config: { org: "o", name: "beside" } };
  const above = { ...LIT, hf_config: { org: "o", name: "above" } };
  const other = make({ "other.json": named, "lit_config.json": named });
  const nameOf = ({ config }: Adapter) => config.get("base_model_name_or_path");
  const both = make({ "lit_config.json": above, [`run/${FILE}`]: GOOD, "run/lit_config.json": beside });
  for (const path of [`${both}/run`, `${both}/run/${FILE}`]) {
    assertEquals(nameOf(await open(path)), "o/beside");
    assertEquals(nameOf(await open(path, { litConfig: await openPlace(`${other}/other.json`) })), "o/named");
    assertEquals(nameOf(await open(path, { litConfig: await openPlace(other) })), "o/named");
  }
  const one = make({ "lit_config.json": above, [`run/${FILE}`]: GOOD });
  for (const path of [`${one}/run`, `${one}/run/${FILE}`]) assertEquals(nameOf(await open(path)), "o/above");
  const far = make({ "lit_config.json": above, [`a/b/${FILE}`]: GOOD });
  const error = await assertRejects(() => open(`${far}/a/b`), EtherError);
  assertMatch(error.toLine(), /^not_found: .*no lit_config\.json beside it or one folder up; name it with --config/);
  const empty = await assertRejects(
    () => openPlace(make({})).then((litConfig) => open(one + "/run", { litConfig })),
    EtherError,
  );
  assertEquals([empty.code, empty.field], ["not_found", "--config"]);
});

Deno.test("a .pth is not read where that is switched off", async () => {
  const path = make({ [FILE]: GOOD, "lit_config.json": LIT });
  const error = await assertRejects(() => open(path, { allowPth: false }), EtherError);
  assertMatch(error.toLine(), /^unsupported_format: .*\.pth file; convert it first/);
});

Deno.test("the digest is over the file, its lit_config.json, and the folder's name only where that decided", async () => {
  const digest = async (folder: string, bytes: Uint8Array, lit: Content) => {
    const parent = make({ [`${folder}/${FILE}`]: bytes, "lit_config.json": lit });
    return (await open(`${parent}/${folder}`)).digest;
  };
  const first = await digest("a", GOOD, LIT);
  assertEquals(await digest("b", GOOD, LIT), first);
  assertNotEquals(await digest("a", GOOD, { ...LIT, n_layer: 1 }), first);
  assertNotEquals(await digest("a", saved({ [PROJ]: [1, 8] }), LIT), first);
  const square = { ...LIT, intermediate_size: 8 };
  const mlp = saved({ "transformer.h.0.mlp.proj.ether_R": [2, 4] });
  const name = "d1011-101500_ether-r2_m_lr1e-3_bs16-1_ep1-50k_dr0.0_wd0.0_wu1000";
  const digests = await Promise.all([name, `${name}_FS`, `${name}_SWR`].map((folder) => digest(folder, mlp, square)));
  assertEquals(new Set(digests).size, 3);
});

Deno.test("a view that does not lie in order is the same adapter", async () => {
  const key = "transformer.h.0.attn.attn.ether_Rq";
  const bytes = new Uint8Array(Float32Array.of(1, 5, 2, 6, 3, 7, 4, 8).buffer);
  const strided = pickle(
    dict([[key, tensor({ dtype: "F32", key: "0", elementCount: 8, shape: [1, 2, 4], strides: [8, 1, 2] })]]),
  );
  const folder = make({ [FILE]: torchFileOf(strided, { "0": bytes }), "lit_config.json": LIT });
  const [info] = (await open(folder)).header.tensors;
  assertEquals([info!.shape, info!.strides], [[2, 4], [1, 2]]);
});

Deno.test("the config says what the checkpoint is, and leaves out what nothing says", async () => {
  const model = makeOfficial({ family: "gptNeox", type: "etherplusHH", numBlocks: 4, targets: "qvm" });
  const { config } = await open(model.checkpoint);
  assertEquals(
    toPlain(config.get("fused_qkv")!),
    { query_key_value: { head_size: 4, n_head: 4, n_query_groups: 4 } } as unknown,
  );
  assertEquals(config.has("variant_overrides"), false);
  const gate = makeOfficial({ family: "mixtral", type: "etherplus", numBlocks: 4, targets: "m" });
  const mixtral = (await open(gate.checkpoint)).config;
  assertEquals(toPlain(mixtral.get("variant_overrides")!), { "block_sparse_moe.gate": "ether" } as unknown);
  assertEquals(toPlain(mixtral.get("target_modules")!), ["gate", "w1", "w2", "w3"]);
});

const NAME = "lr1e-3_bs16-1_ep1-50k_dr0.0_wd0.0_wu1000";
const NAMES: readonly (readonly [string, string | null])[] = [
  [`d1011-101500_ether-r4_qv_${NAME}`, "ether 4 qv false"],
  [`d1011-101500_etherplusHH-r32_qkvpmh_${NAME}_sq512_bf16true_SWR_FS`, "etherplusHH 32 qkvpmh true"],
  [`d1011-101500_oft-r256__${NAME}_FS`, "oft 256  true"],
  [`j7_etherplus-r1_m_${NAME}_16mixed_FS`, "etherplus 1 m true"],
  [`jmy_job_1_etherplus-r1_m_${NAME}_SWR`, "etherplus 1 m false"],
  [`d1011-101500_ether-r4_qv_${NAME}_FS_old`, null],
  [`d1011-101500_ether-r0_qv_${NAME}`, null],
  [`d1011-101500_ether-r4_vq_${NAME}`, null],
  [`d1011-101500_lora-r4_qv_${NAME}`, null],
  [`d1011-101500_ether-r4_qv_${NAME.replace("_wu1000", "")}`, null],
  [`_ether-r4_qv_${NAME}`, null],
  ["lit", null],
  [`j${"_".repeat(10_000)}`, null],
];

for (const [name, expected] of NAMES) {
  Deno.test(`parseTrainingName: ${name.slice(0, 100)}`, () => {
    const found = parseTrainingName(name);
    const text = found === null ? null : `${found.type} ${found.numBlocks} ${found.targets} ${found.flipSide}`;
    assertEquals(text, expected);
  });
}

/** Files that hold something else than official parameters. */
const REFUSED: readonly (readonly [what: string, shapes: Readonly<Record<string, readonly number[]>>, line: RegExp])[] =
  [
    ["nothing", {}, /^missing_param: .*no ETHER parameter/],
    ["a whole model", { "transformer.wte.weight": [4, 4] }, /^unused_tensor: .*wte\.weight: .*whole model\?/],
    ["an unknown parameter", { "transformer.h.0.attn.proj.ether_R5": [2, 4] }, /^unused_tensor: .*ether_R5/],
    ["a part of what has none", { "transformer.h.0.attn.proj.ether_Rq": [2, 4] }, /^unused_tensor: .*ether_Rq/],
    ["attention without a part", { "transformer.h.0.attn.attn.ether_R": [1, 2, 4] }, /^unused_tensor: .*attn\.ether_R/],
    ["a layer with a leading zero", { "transformer.h.00.attn.proj.ether_R": [2, 4] }, /^unused_tensor: .*h\.00/],
    [
      "v without u",
      { "transformer.h.0.attn.proj.ether_R2": [2, 4] },
      /^missing_param: .*no transformer\.h\.0\.attn\.proj\.ether_R;/,
    ],
    [
      "one layer of another type",
      { [PROJ]: [2, 4], [`${PROJ}2`]: [2, 4], "transformer.h.1.attn.proj.ether_R": [2, 4] },
      /^missing_param: .*no transformer\.h\.1\.attn\.proj\.ether_R2; .*"etherplus"/,
    ],
    ["R3 without R4", { [PROJ]: [2, 4], [`${PROJ}2`]: [2, 4], [`${PROJ}3`]: [2, 4] }, /^missing_param: .*ether_R4/],
    [
      "a gate with two parameters",
      {
        [PROJ]: [2, 4],
        [`${PROJ}2`]: [2, 4],
        "transformer.h.0.mlp.gate.ether_R": [2, 4],
        "transformer.h.0.mlp.gate.ether_R2": [2, 4],
      },
      /^unused_tensor: .*gate\.ether_R2: "ether" has no such parameter/,
    ],
    ["one dimension", { [PROJ]: [8] }, /^bad_shape: .*shape \[8\] is not \[num_blocks, n\]/],
    ["four dimensions", { [PROJ]: [1, 2, 2, 2] }, /^bad_shape: /],
    [
      "a part without its 1",
      { "transformer.h.0.attn.attn.ether_Rq": [2, 2, 4] },
      /^bad_shape: .*does not begin with the 1/,
    ],
    [
      "a mixture of ranks",
      { [PROJ]: [2, 4], "lm_head.ether_R": [2, 4, 4] },
      /^bad_shape: .*is not \[num_blocks, n, n\] of "oft"/,
    ],
    [
      "two block counts",
      { [PROJ]: [2, 4], "lm_head.ether_R": [4, 2] },
      /^bad_blocks: .*4 blocks, but ".*proj\.ether_R" has 2/,
    ],
    ["no blocks", { [PROJ]: [0, 4] }, /^bad_blocks: .*no blocks/],
    [
      "a module of another family",
      { "transformer.h.0.mlp.fc.ether_R": [2, 4] },
      /^unknown_target: .*a Llama model has no mlp\.fc/,
    ],
  ];

for (const [what, shapes, line] of REFUSED) {
  Deno.test(`a checkpoint that holds ${what} is refused`, async () => {
    const error = await assertRejects(() => open(make({ [FILE]: saved(shapes), "lit_config.json": LIT })), EtherError);
    assertMatch(error.toLine(), line);
  });
}

for (
  const [what, lit] of [
    ["an unknown class", { ...LIT, _mlp_class: "MyMLP" }],
    ["no class", { ...LIT, _mlp_class: undefined }],
    ["a class of three families and no telling name", { ...LIT, _mlp_class: "GptNeoxMLP", lm_head_bias: true }],
    ["dolphins, which are no Phi", { ...LIT, name: "dolphin", _mlp_class: "GptNeoxMLP", bias: false }],
  ] as const
) {
  Deno.test(`a lit_config.json of ${what} does not decide the family`, async () => {
    const path = make({ [FILE]: GOOD, "lit_config.json": lit });
    const error = await assertRejects(() => open(path), EtherError);
    assertMatch(error.toLine(), /^bad_config: .*lit_config\.json: _mlp_class: cannot tell the family .*--base/);
  });
}
