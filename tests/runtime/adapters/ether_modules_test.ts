import { assertEquals, assertMatch } from "@std/assert";
import type { ErrorCode } from "../../../runtime/error.ts";
import { type Pair, plan, refusal, transformed } from "./ether_pair.ts";

const BOTH = { sides: ["in", "out"] };
const PLUS = { variant: "etherplus" };

/** Pairs that fit, and what they do. */
const FITS: Readonly<Record<string, readonly [pair: Pair, does: readonly string[]]>> = {
  "one side": [{}, ["m.weight ether:in"]],
  "both sides": [
    { config: BOTH, adapter: { "m.ether_u_in": [2, 4], "m.ether_u_out": [2, 6] } },
    ["m.weight ether:in+out"],
  ],
  "u and v": [{ config: PLUS, adapter: { "m.ether_u_in": [2, 4], "m.ether_v_in": [2, 4] } }, ["m.weight etherplus:in"]],
  "a dense block": [{ config: { variant: "oft" }, adapter: { "m.ether_R_in": [2, 4, 4] } }, ["m.weight oft:in"]],
  "BF16 adapter tensors": [{ adapter: { "m.ether_u_in": { dtype: "BF16", shape: [2, 4] } } }, ["m.weight ether:in"]],
  "F16 adapter tensors": [{ adapter: { "m.ether_u_in": { dtype: "F16", shape: [2, 4] } } }, ["m.weight ether:in"]],
  "modules that lack a side, where the config allows it": [
    {
      base: { "a.weight": [12, 8], "b.weight": [12, 8] },
      config: { ...BOTH, per_tensor_sides: true },
      adapter: { "a.ether_u_in": [2, 4], "b.ether_u_out": [2, 6] },
    },
    ["a.weight ether:in", "b.weight ether:out"],
  ],
  "a module with a variant of its own, which may lack a side": [
    {
      base: { "x.gate.weight": [12, 8], "x.up.weight": [12, 8] },
      config: { ...PLUS, ...BOTH, variant_overrides: { gate: "ether" } },
      adapter: {
        ...{ "x.gate.ether_u_in": [2, 4], "x.up.ether_u_in": [2, 4], "x.up.ether_v_in": [2, 4] },
        ...{ "x.up.ether_u_out": [2, 6], "x.up.ether_v_out": [2, 6] },
      },
    },
    ["x.gate.weight ether:in", "x.up.weight etherplus:in+out"],
  ],
  "a base without the leading model.": [
    { base: { "layers.0.m.weight": [12, 8] }, adapter: { "model.layers.0.m.ether_u_in": [2, 4] } },
    ["layers.0.m.weight ether:in"],
  ],
  "a base with a leading model. that the adapter lacks": [
    { base: { "model.layers.0.m.weight": [12, 8] }, adapter: { "layers.0.m.ether_u_in": [2, 4] } },
    ["model.layers.0.m.weight ether:in"],
  ],
  "an exact name before one with model.": [
    { base: { "m.weight": [12, 8], "model.m.weight": [12, 8] } },
    ["m.weight ether:in"],
  ],
  "modules truly named q, as T5 has them": [
    { base: { "attn.q.weight": [8, 8] }, adapter: { "attn.q.ether_u_in": [2, 4] } },
    ["attn.q.weight ether:in"],
  ],
  "a module named like a prototype's member": [
    { base: { "__proto__.weight": [12, 8] }, adapter: { "__proto__.ether_u_in": [2, 4] } },
    ["__proto__.weight ether:in"],
  ],
  "a module of a name that ends like a parameter": [
    { base: { "m.ether_u_in.weight": [12, 8] }, adapter: { "m.ether_u_in.ether_u_in": [2, 4] } },
    ["m.ether_u_in.weight ether:in"],
  ],
};

for (const [name, [pair, does]] of Object.entries(FITS)) {
  Deno.test(`ETHER: ${name}`, async () => assertEquals(await transformed(pair), [...does]));
}

/** Pairs that do not fit: the code, and what the line names. */
const REFUSED: Readonly<Record<string, readonly [pair: Pair, code: ErrorCode, names: RegExp]>> = {
  "no tensor": [
    { adapter: {} },
    "missing_param",
    /holds no ETHER tensor; tensors are named base_model\.model\.<module>/,
  ],
  "v of a variant without": [{ adapter: { "m.ether_v_in": [2, 4] } }, "unused_tensor", /has no parameter v/],
  "R of a variant without": [{ adapter: { "m.ether_R_in": [2, 4, 4] } }, "unused_tensor", /has no parameter R/],
  "a side that is not declared": [{ adapter: { "m.ether_u_out": [2, 6] } }, "unused_tensor", /sides have no "out"/],
  "a tensor of another method": [{ adapter: { "m.lora_A.weight": [2, 8] } }, "unused_tensor", /m\.lora_A\.weight/],
  "a parameter without a module": [{ adapter: { ether_u_in: [2, 4] } }, "unused_tensor", /no ETHER parameter/],
  "an unknown side": [{ adapter: { "m.ether_u_up": [2, 4] } }, "unused_tensor", /no ETHER parameter/],
  "no v": [{ config: PLUS }, "missing_param", /no base_model\.model\.m\.ether_v_in; etherplus needs u and v/],
  "no u": [{ config: PLUS, adapter: { "m.ether_v_in": [2, 4] } }, "missing_param", /no .*ether_u_in; v without u/],
  "a declared side that is missing": [
    { config: BOTH },
    "missing_param",
    /no .*m\.ether_u_out; .*per_tensor_sides: true/,
  ],
  "u of rank 1": [{ adapter: { "m.ether_u_in": [8] } }, "bad_shape", /shape \[8\] is not \[num_blocks, n\]/],
  "u of rank 3, as the official qkv have it": [
    { adapter: { "m.ether_u_in": [1, 2, 4] } },
    "bad_shape",
    /shape \[1, 2, 4\] is not \[num_blocks, n\]/,
  ],
  "a dense block that is not square": [
    { config: { variant: "oft" }, adapter: { "m.ether_R_in": [2, 4, 3] } },
    "bad_shape",
    /is not \[num_blocks, n, n\]/,
  ],
  "u and v of two shapes": [
    { config: PLUS, adapter: { "m.ether_u_in": [2, 4], "m.ether_v_in": [4, 2] } },
    "bad_shape",
    /m\.ether_v_in: u has shape \[2, 4\] and v \[4, 2\]/,
  ],
  "another block count": [{ adapter: { "m.ether_u_in": [4, 2] } }, "bad_blocks", /\[4, 2\] .* num_blocks = 2/],
  "vectors of no length": [{ adapter: { "m.ether_u_in": [2, 0] } }, "bad_blocks", /\[2, 0\]/],
  "vectors that are too short": [{ adapter: { "m.ether_u_in": [2, 3] } }, "bad_blocks", /2 blocks of 3 .*in side's 8/],
  "blocks of the other side": [{ adapter: { "m.ether_u_in": [2, 6] } }, "bad_blocks", /2 blocks of 6 .*in side's 8/],
  "adapter tensors of I8": [
    { adapter: { "m.ether_u_in": { dtype: "I8", shape: [2, 4] } } },
    "unsupported_dtype",
    /dtype I8; adapter tensors are F32, F16 or BF16/,
  ],
  "adapter tensors of F64": [
    { adapter: { "m.ether_u_in": { dtype: "F64", shape: [2, 4] } } },
    "unsupported_dtype",
    /dtype F64/,
  ],
  "a module that the base lacks": [
    { base: { "layers.0.mlp.up.weight": [12, 8] }, adapter: { "layers.0.mlp.upp.ether_u_in": [2, 4] } },
    "unknown_target",
    /has no tensor "layers\.0\.mlp\.upp\.weight"; the nearest name is "layers\.0\.mlp\.up\.weight"/,
  ],
  "a base with nothing alike": [
    { base: { "x.weight": [12, 8] }, adapter: { "layers.0.mlp.up.ether_u_in": [2, 4] } },
    "unknown_target",
    /is this the right base\?/,
  ],
  "two modules that mean one tensor": [
    { base: { "model.m.weight": [12, 8] }, adapter: { "m.ether_u_in": [2, 4], "model.m.ether_u_in": [2, 4] } },
    "unknown_target",
    /m and model\.m both mean model\.m\.weight/,
  ],
  "a vector of zeros": [
    { adapter: { "m.ether_u_in": { dtype: "F32", shape: [2, 4], bytes: new Uint8Array(32) } } },
    "zero_vector",
    /m\.ether_u_in: block 0 is all zero; the training run broke/,
  ],
  "an infinity in bf16": [
    {
      adapter: {
        "m.ether_u_in": { dtype: "BF16", shape: [2, 4], bytes: Uint8Array.of(...Array(14).fill(1), 0x80, 0x7f) },
      },
    },
    "nonfinite_vector",
    /block 1 holds a NaN or an infinity/,
  ],
};

for (const [name, [pair, code, names]] of Object.entries(REFUSED)) {
  Deno.test(`ETHER: ${name} is ${code}`, async () => {
    const error = await refusal(pair);
    assertEquals(error.code, code);
    assertMatch(error.toLine(), names);
    assertMatch(error.toLine(), /adapter_(model\.safetensors|config\.json): /);
  });
}

Deno.test("ETHER+: an adapter whose v is ±u everywhere is a warning", async () => {
  const bytes = (sign: number) => new Uint8Array(Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8], (x) => sign * x).buffer);
  const tensor = (sign: number) => ({ dtype: "F32" as const, shape: [2, 4], bytes: bytes(sign) });
  for (const sign of [1, -1]) {
    const adapter = { "m.ether_u_in": tensor(1), "m.ether_v_in": tensor(sign) };
    const { warnings } = await plan({ config: PLUS, adapter });
    assertEquals(warnings.length, 1);
    assertMatch(warnings[0]!, /every v is ±u: the adapter is the identity/);
  }
  const trained = { "m.ether_u_in": tensor(1), "m.ether_v_in": [2, 4] };
  assertEquals((await plan({ config: PLUS, adapter: trained })).warnings, []);
});

Deno.test("vectors of 1e-30 and 1e30 are vectors like any other", async () => {
  for (const scale of [1e-30, 1e30]) {
    const bytes = new Uint8Array(Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8], (x) => scale * x).buffer);
    assertEquals(await transformed({ adapter: { "m.ether_u_in": { dtype: "F32", shape: [2, 4], bytes } } }), [
      "m.weight ether:in",
    ]);
  }
});
