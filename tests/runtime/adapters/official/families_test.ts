/** Every family, type and flag of training: merged from the checkpoint, it is what the authors' algorithm gives. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { decodeFloat64 } from "../../../../fixtures/decode.ts";
import { readTensorFile } from "../../../../fixtures/tensor_file.ts";
import { openPlace } from "../../../../runtime/deno/file_folder.ts";
import { fileStorage, mergeToFolder } from "../../../../runtime/deno/merge_folder.ts";
import { EtherError } from "../../../../runtime/error.ts";
import { prepareMerge } from "../../../../runtime/plans/prepare_merge.ts";
import { newPath } from "../../../commands/made_files.ts";
import { makeOfficial, type OfficialModel, type Training } from "./official_model.ts";

/** `training` in a folder that says `_FS` or not. */
const run = (settings: string, suffix = "") =>
  `d1011-101500_${settings}_lr1e-3_bs16-1_ep1-50k_dr0.0_wd0.0_wu1${suffix}`;
const FALCON = { hidden_size: 16, num_attention_heads: 4, multi_query: true };
const NEOX = { hidden_size: 16, num_attention_heads: 4 };

const CASES: Readonly<Record<string, Training>> = {
  "llama ether": { family: "llama", type: "ether", numBlocks: 4, targets: "qkvpmh" },
  "llama etherplus": { family: "llama", type: "etherplus", numBlocks: 2, targets: "qvpm" },
  "llama etherplusHH": { family: "llama", type: "etherplusHH", numBlocks: 4, targets: "qkvpmh" },
  "llama oft": { family: "llama", type: "oft", numBlocks: 4, targets: "qkvpm" },
  "llama one block": { family: "llama", type: "etherplus", numBlocks: 1, targets: "qkvpmh" },
  "llama grouped queries": { family: "llama", type: "ether", numBlocks: 4, targets: "kvp", numQueryGroups: 2 },
  "llama grouped queries, q on both sides": {
    ...{ family: "llama", type: "etherplusHH", numBlocks: 4, targets: "qp", numQueryGroups: 1 },
  },
  "llama flipped, by shape": { family: "llama", type: "ether", numBlocks: 4, targets: "qm", flipSide: true },
  "llama oft flipped, by shape": { family: "llama", type: "oft", numBlocks: 4, targets: "m", flipSide: true },
  "llama both sides, the flag has no effect": {
    ...{ family: "llama", type: "etherplusHH", numBlocks: 4, targets: "m", flipSide: true },
  },
  "llama square, flipped by name": {
    ...{ family: "llama", type: "etherplus", numBlocks: 4, targets: "qm", flipSide: true, intermediate: 16 },
    folderName: run("etherplus-r4_qm", "_sq512_bf16true_SWR_FS"),
  },
  "llama square, not flipped by name": {
    ...{ family: "llama", type: "etherplus", numBlocks: 4, targets: "qm", intermediate: 16 },
    folderName: run("etherplus-r4_qm", "_32true"),
  },
  "llama square, of a job with underscores": {
    ...{ family: "llama", type: "ether", numBlocks: 2, targets: "m", flipSide: true, intermediate: 16 },
    folderName: run("ether-r2_m", "_FS").replace(/^d[^_]*/, "jmy_job_ether-r8_qv_7"),
  },
  "llama square, but mlp.proj was not trained": {
    ...{ family: "llama", type: "ether", numBlocks: 4, targets: "qkvph", intermediate: 16 },
  },
  "gemma": { family: "gemma", type: "etherplus", numBlocks: 4, targets: "pm" },
  "mixtral ether": { family: "mixtral", type: "ether", numBlocks: 4, targets: "qvpm" },
  "mixtral etherplusHH, its gate plain and of more blocks than rows": {
    ...{ family: "mixtral", type: "etherplusHH", numBlocks: 4, targets: "qkvpmh" },
  },
  "mixtral etherplus, flipped": { family: "mixtral", type: "etherplus", numBlocks: 8, targets: "m", flipSide: true },
  "mixtral oft": { family: "mixtral", type: "oft", numBlocks: 4, targets: "m" },
  "phi ether": { family: "phi", type: "ether", numBlocks: 4, targets: "qkvpmh" },
  "phi etherplusHH": { family: "phi", type: "etherplusHH", numBlocks: 4, targets: "qkvpmh" },
  "phi flipped": { family: "phi", type: "etherplus", numBlocks: 4, targets: "qvm", flipSide: true },
  "gpt-neox ether": { family: "gptNeox", type: "ether", numBlocks: 4, targets: "qkvpmh" },
  "gpt-neox etherplus, two of three parts": { family: "gptNeox", type: "etherplus", numBlocks: 2, targets: "qv" },
  "gpt-neox etherplusHH": { family: "gptNeox", type: "etherplusHH", numBlocks: 4, targets: "qkvpmh" },
  "gpt-neox oft": { family: "gptNeox", type: "oft", numBlocks: 4, targets: "kvpm" },
  "gpt-neox, heads from the base's config": {
    ...{ family: "gptNeox", type: "ether", numBlocks: 4, targets: "qkvpm", litConfig: null, baseConfig: NEOX },
  },
  "falcon ether, grouped": { family: "falcon", type: "ether", numBlocks: 2, targets: "kvpmh", numQueryGroups: 2 },
  "falcon etherplusHH": { family: "falcon", type: "etherplusHH", numBlocks: 4, targets: "qpm", numQueryGroups: 1 },
  "falcon multi-query, heads from the base's config": {
    ...{ family: "falcon", type: "etherplus", numBlocks: 2, targets: "kv", numQueryGroups: 1 },
    ...{ litConfig: null, baseConfig: FALCON },
  },
  "falcon grouped, heads from the base's config": {
    ...{ family: "falcon", type: "ether", numBlocks: 2, targets: "q", numQueryGroups: 2, litConfig: null },
    baseConfig: { ...FALCON, new_decoder_architecture: true, num_kv_heads: 2 },
  },
  "falcon as RefinedWeb, heads from the base's config": {
    ...{ family: "falcon", type: "ether", numBlocks: 2, targets: "kv", numQueryGroups: 2, litConfig: null },
    baseConfig: { model_type: "RefinedWeb", hidden_size: 16, n_head: 4, n_head_kv: 2 },
  },
  "falcon's one group, which its config need not say": {
    ...{ family: "falcon", type: "ether", numBlocks: 2, targets: "kv", numQueryGroups: 1 },
    baseConfig: { hidden_size: 16, num_attention_heads: 4 },
  },
  "a base tells what its lit_config.json does not": {
    ...{ family: "phi", type: "ether", numBlocks: 4, targets: "qm", litConfig: { name: "mine", hf_config: {} } },
  },
  "a flipped one without lit_config.json, by the base's shapes": {
    ...{ family: "llama", type: "ether", numBlocks: 4, targets: "qm", flipSide: true, litConfig: null },
  },
};

for (const [what, training] of Object.entries(CASES)) {
  Deno.test(`official ${what}: merged as the authors' algorithm merges it`, async () => {
    const model = makeOfficial(training);
    const merged = await merge(model);
    const changed = new Set<string>();
    const base = await readTensorFile(`${model.base}/model.safetensors`);
    for (const [name, stored] of merged) {
      const got = decodeFloat64(stored);
      const { values } = model.expected.get(name)!;
      const worst = got.reduce((most, value, i) => Math.max(most, Math.abs(value - values[i]!)), 0);
      // A dense block is inverted in f32.
      assert(worst < (training.type === "oft" ? 2e-4 : 2e-6), `${name} is off by ${worst}`);
      const before = decodeFloat64(base.get(name)!);
      if (got.some((value, i) => value !== before[i])) changed.add(name);
    }
    assertEquals([...changed].sort(), [...model.changed].sort());
  });
}

async function merge({ base, checkpoint }: OfficialModel, untie = false): ReturnType<typeof readTensorFile> {
  const output = newPath("merged");
  const adapters = [{ place: await openPlace(checkpoint) }];
  const { plan } = await prepareMerge({ base: await openPlace(base), adapters, untie }, fileStorage);
  await mergeToFolder(plan, output, { workers: 1 });
  return await readTensorFile(`${output}/model.safetensors`);
}

Deno.test("official gemma with a head: the head is tied, and is merged only where it is untied", async () => {
  const model = makeOfficial({ family: "gemma", type: "ether", numBlocks: 4, targets: "qh" });
  const error = await assertRejects(() => merge(model), EtherError);
  assertEquals([error.code, error.hint], ["tied_head", "--untie gives the head a weight of its own"]);
  const merged = await merge(model, true);
  assert(merged.has("lm_head.weight"));
});

const SQUARE: Training = { family: "llama", type: "ether", numBlocks: 4, targets: "m", intermediate: 16 };
const NEOX_QV: Training = { family: "gptNeox", type: "ether", numBlocks: 4, targets: "qv" };

/** Each is refused, with the code and for the reason given. */
const REFUSED: readonly (readonly [what: string, training: Training, line: RegExp])[] = [
  [
    "a square mlp.proj in a folder of no telling name",
    SQUARE,
    /^bad_config: .*mlp\.proj.*flip_side: .*both have 16.*_FS/,
  ],
  [
    "a square mlp.proj in a folder that tells of another type",
    { ...SQUARE, folderName: run("etherplus-r4_m") },
    /^bad_config: .*tells of etherplus with 4 blocks/,
  ],
  [
    "a square mlp.proj in a folder that tells of another block count",
    { ...SQUARE, folderName: run("ether-r8_m") },
    /^bad_config: .*tells of ether with 8 blocks/,
  ],
  [
    "an mlp.proj of neither length",
    { ...SQUARE, intermediate: 24, litConfig: { intermediate_size: 40, n_embd: 32 } },
    /^bad_blocks: .*4 blocks of 6 tile neither the input side's 40 nor the output side's 32/,
  ],
  [
    "other heads in the base's config",
    { ...NEOX_QV, baseConfig: { hidden_size: 16, num_attention_heads: 8 } },
    /^bad_config: .*lit_config\.json: n_head: says 4 heads of 4 in 4 groups, .* 8 heads of 2/,
  ],
  [
    "heads that are not the embedding's",
    { ...NEOX_QV, litConfig: { head_size: 8 } },
    /^bad_config: .*4 heads of 8 are not n_embd = 16/,
  ],
  ["no word of heads at all", { ...NEOX_QV, litConfig: null }, /^bad_config: .*nothing says how many heads/],
  [
    "a lit_config.json without n_embd",
    { ...SQUARE, litConfig: { n_embd: null } },
    /^bad_config: .*lit_config\.json: n_embd: n_embd is null/,
  ],
];

for (const [what, training, line] of REFUSED) {
  Deno.test(`official: ${what} is refused`, async () => {
    const error = await assertRejects(() => merge(makeOfficial(training)), EtherError);
    assertMatch(error.toLine(), line);
  });
}
