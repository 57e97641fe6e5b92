import { assertEquals, assertMatch } from "@std/assert";
import type { ErrorCode } from "../../../runtime/error.ts";
import { type Pair, plan, refusal, transformed } from "./ether_pair.ts";

/** Four heads of 2 rows, two groups: q has 8 rows, k and v 4 each. */
const GQA = { n_head: 4, n_query_groups: 2, head_size: 2 };
const BASE = { "attn.qkv.weight": [16, 8] };
const fused = (fields: object) => ({ fused_qkv: { qkv: fields } });
const part = (name: string) => ({ [`attn.qkv.${name}.ether_u_in`]: [2, 4] });

/** The rows of each Op, as `start+count`. */
async function rowsOf(pair: Pair): Promise<string[]> {
  const { files } = await plan(pair);
  return files[0]!.spans.flatMap((span) => span.kind === "tensor" ? span.stages.flat() : [])
    .map(({ label, region }) => `${label} ${region.runs.map(({ start, count }) => `${start}+${count}`).join(" ")}`);
}

const ROWS: readonly (readonly [order: string | undefined, part: string, rows: string])[] = [
  ["grouped", "q", "ether:q:in 0+4 8+4"],
  ["grouped", "k", "ether:k:in 4+2 12+2"],
  ["grouped", "v", "ether:v:in 6+2 14+2"],
  [undefined, "k", "ether:k:in 4+2 12+2"],
  ["concat", "q", "ether:q:in 0+8"],
  ["concat", "k", "ether:k:in 8+4"],
  ["concat", "v", "ether:v:in 12+4"],
];

for (const [order, name, rows] of ROWS) {
  Deno.test(`fused_qkv: part ${name} in order ${order ?? "unsaid"} is rows ${rows.replace(/^\S+ /, "")}`, async () => {
    assertEquals(await rowsOf({ base: BASE, config: fused({ ...GQA, order }), adapter: part(name) }), [rows]);
  });
}

Deno.test("fused_qkv: parts together are one stage; a part without tensors is left as it is", async () => {
  const adapter = { ...part("q"), ...part("v") };
  assertEquals(await transformed({ base: BASE, config: fused(GQA), adapter }), [
    "attn.qkv.weight ether:q:in then ether:v:in",
  ]);
});

Deno.test("fused_qkv: an output side tiles the rows of its part", async () => {
  const sides = { sides: ["out"], layout: undefined, ...fused(GQA) };
  const fits = { "attn.qkv.k.ether_u_out": [2, 2] };
  assertEquals(await transformed({ base: BASE, config: sides, adapter: fits }), ["attn.qkv.weight ether:k:out"]);
  const error = await refusal({ base: BASE, config: sides, adapter: { "attn.qkv.k.ether_u_out": [2, 8] } });
  assertEquals(error.code, "bad_blocks");
});

Deno.test("fused_qkv: the whole matrix may be adapted as one", async () => {
  const adapter = { "attn.qkv.ether_u_in": [2, 4] };
  assertEquals(await transformed({ base: BASE, config: fused(GQA), adapter }), ["attn.qkv.weight ether:in"]);
});

Deno.test("fused_qkv: other heads than the base's config says are refused, though they make up the same rows", async () => {
  const wide = { "attn.qkv.weight": [24, 8] };
  const base = { model_type: "gpt_neox", hidden_size: 8, num_attention_heads: 2 };
  const heads = { n_head: 4, n_query_groups: 4, head_size: 2 };
  const pair = (fields: object, baseConfig = base) => ({
    ...{ base: wide, baseConfig, config: fused(fields), adapter: part("q") },
  });
  const error = await refusal(pair(heads));
  assertEquals(error.code, "bad_config");
  assertMatch(error.message, /says 4 heads of 2 in 4 groups, the config\.json of .*base 2 heads of 4 in 2 groups/);
  const other = await refusal(pair({ ...heads, n_query_groups: 1, n_head: 10, order: "concat" }));
  assertEquals(other.code, "bad_config");
  // Where all q come first, a head's size moves nothing.
  assertEquals(await rowsOf(pair({ ...heads, order: "concat" })), ["ether:q:in 0+8"]);
  assertEquals((await rowsOf(pair({ n_head: 2, n_query_groups: 2, head_size: 4 }))).length, 1);
  // Heads that do not make up the rows say nothing of them.
  assertEquals((await rowsOf(pair(heads, { ...base, num_attention_heads: 8, hidden_size: 16 }))).length, 1);
  const grouped = { ...base, model_type: "internlm2", num_key_value_heads: 1, head_dim: 6 };
  assertEquals((await rowsOf(pair({ n_head: 2, n_query_groups: 1, head_size: 6 }, grouped))).length, 1);
});

const REFUSED: Readonly<Record<string, readonly [pair: Pair, code: ErrorCode, names: RegExp]>> = {
  "heads that do not make up the rows": [
    { base: { "attn.qkv.weight": [12, 8] }, config: fused(GQA), adapter: part("q") },
    "bad_config",
    /fused_qkv: \(4 heads \+ 2·2 groups\)·2 is 16, but the matrix has 12 rows/,
  ],
  "parts and the whole at once": [
    { base: BASE, config: fused(GQA), adapter: { ...part("q"), "attn.qkv.ether_u_in": [2, 4] } },
    "unused_tensor",
    /attn\.qkv has tensors of its own beside those of its parts/,
  ],
  "parts that the config does not declare": [
    { base: BASE, adapter: part("q") },
    "unknown_target",
    /attn\.qkv\.q\.weight/,
  ],
  "a part that is none": [
    { base: BASE, config: fused(GQA), adapter: { "attn.qkv.o.ether_u_in": [2, 4] } },
    "unknown_target",
    /attn\.qkv\.o\.weight/,
  ],
  "parts of a Conv1D": [
    { base: { "attn.qkv.weight": [8, 16] }, config: { ...fused(GQA), fan_in_fan_out: true }, adapter: part("q") },
    "unsupported_feature",
    /fused_qkv: parts of a fused Conv1D; adapt the fused matrix as a whole/,
  ],
};

for (const [name, [pair, code, names]] of Object.entries(REFUSED)) {
  Deno.test(`fused_qkv: ${name}: ${code}`, async () => {
    const error = await refusal(pair);
    assertEquals(error.code, code);
    assertMatch(error.toLine(), names);
  });
}

Deno.test("fused_qkv and variant_overrides: a key that means no module is a warning", async () => {
  const config = { fused_qkv: { nowhere: GQA }, variant_overrides: { gone: "oft" } };
  const { warnings } = await plan({ config });
  assertEquals(warnings.map((warning) => warning.replace(/^.*json: /, "")), [
    "variant_overrides: no module matches gone",
    "fused_qkv: no module matches nowhere",
  ]);
});

Deno.test("fan_in_fan_out on a square matrix of a model type without Conv1D is a warning", async () => {
  const pair = (baseConfig: Record<string, unknown>) => ({
    ...{ base: { "q_proj.weight": [8, 8], "k_proj.weight": [8, 8] }, baseConfig, config: { fan_in_fan_out: true } },
    adapter: { "q_proj.ether_u_in": [2, 4], "k_proj.ether_u_in": [2, 4] },
  });
  const { warnings } = await plan(pair({ model_type: "llama" }));
  assertEquals(warnings.length, 1);
  assertMatch(warnings[0]!, /fan_in_fan_out takes [qk]_proj\.weight and 1 more for stored \[in, out\]/);
  for (const config of [{ model_type: "gpt2" }, {}]) assertEquals((await plan(pair(config))).warnings, []);
  const alone = { base: { "wte.weight": [8, 8] }, adapter: { "wte.ether_u_in": [2, 4] } };
  const kept = { ...alone, baseConfig: { model_type: "llama" }, config: { fan_in_fan_out: true } };
  assertEquals((await plan(kept)).warnings, []);
});

Deno.test("modules_to_save without a tensor of it is a warning", async () => {
  const { warnings } = await plan({ config: { modules_to_save: ["classifier", "m"] } });
  assertEquals(warnings.map((warning) => warning.replace(/^.*json: /, "")), [
    "modules_to_save names classifier, but the adapter has no tensor of it: the base's stays",
  ]);
});

const GPT2 = { model_type: "gpt2" };

/** Is `fan_in_fan_out` needed, and what does it do? `base` is the shape as stored. */
const CONV1D: readonly (readonly [name: string, pair: Pair, does: string | ErrorCode])[] = [
  ["a Conv1D's sides swap axes", {
    base: { "c_fc.weight": [8, 12] },
    config: { fan_in_fan_out: true },
    adapter: { "c_fc.ether_u_in": [2, 4] },
  }, "c_fc.weight ether:in"],
  ["without it the same shape does not fit", {
    base: { "c_fc.weight": [8, 12] },
    adapter: { "c_fc.ether_u_in": [2, 4] },
  }, "bad_blocks"],
  ["wte is never Conv1D", {
    base: { "wte.weight": [12, 8] },
    config: { fan_in_fan_out: true },
    adapter: { "wte.ether_u_in": [2, 4] },
  }, "wte.weight ether:in"],
  ["wpe is never Conv1D", {
    base: { "wpe.weight": [12, 8] },
    config: { fan_in_fan_out: true },
    adapter: { "wpe.ether_u_in": [2, 4] },
  }, "wpe.weight ether:in"],
  ["lm_head is never Conv1D", {
    base: { "lm_head.weight": [12, 8] },
    config: { fan_in_fan_out: true },
    adapter: { "lm_head.ether_u_in": [2, 4] },
  }, "lm_head.weight ether:in"],
  ["a square c_proj without a word is refused", {
    base: { "h.c_proj.weight": [8, 8] },
    adapter: { "h.c_proj.ether_u_in": [2, 4] },
  }, "bad_config"],
  ["a square c_attn of gpt2 too", {
    base: { "c_attn.weight": [8, 8] },
    baseConfig: GPT2,
    adapter: { "c_attn.ether_u_in": [2, 4] },
  }, "bad_config"],
  ["a square c_proj of a llama is a Linear", {
    base: { "c_proj.weight": [8, 8] },
    baseConfig: { model_type: "llama" },
    adapter: { "c_proj.ether_u_in": [2, 4] },
  }, "c_proj.weight ether:in"],
  ["a square of another name is a Linear", {
    base: { "q_proj.weight": [8, 8] },
    baseConfig: GPT2,
    adapter: { "q_proj.ether_u_in": [2, 4] },
  }, "q_proj.weight ether:in"],
  ["a square with fan_in_fan_out is a Conv1D", {
    base: { "c_proj.weight": [8, 8] },
    baseConfig: GPT2,
    config: { fan_in_fan_out: true },
    adapter: { "c_proj.ether_u_in": [2, 4] },
  }, "c_proj.weight ether:in"],
];

for (const [name, pair, does] of CONV1D) {
  Deno.test(`fan_in_fan_out: ${name}`, async () => {
    if (does.includes(" ")) assertEquals(await transformed(pair), [does]);
    else assertEquals((await refusal(pair)).code, does);
  });
}
