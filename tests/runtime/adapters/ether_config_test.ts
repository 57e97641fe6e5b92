import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { prepareMerge } from "../../../runtime/deno/library.ts";
import { EtherError } from "../../../runtime/error.ts";
import { addFiles, makeAdapter, makeFolder, tensorFile } from "../../commands/made_files.ts";
import { plan, refusal, transformed } from "./ether_pair.ts";

const REQUIRED = ["peft_type", "variant", "sides", "num_blocks"];

for (const field of REQUIRED) {
  Deno.test(`an ETHER config without ${field} is bad_config, and the field is named`, async () => {
    for (const value of [undefined, null]) {
      const error = await refusal({ config: { [field]: value } });
      assertEquals([error.code, error.field], ["bad_config", field]);
      assertMatch(error.file!, /adapter_config\.json$/);
      assertMatch(error.message, new RegExp(`^${field} is (missing; it must be|null, not) `));
    }
  });
}

/** Values of the wrong type or out of range, by field; what is optional may be null. */
const WRONG: Readonly<Record<string, readonly unknown[]>> = {
  peft_type: [1, true, [], {}],
  variant: ["either", "ETHER", "", 1, ["ether"]],
  sides: [[], ["in", "in"], ["left"], ["in", null], "in", { in: true }, ["in", "out", "in"]],
  num_blocks: [0, -1, 1.5, "2", true, [2], 1e30],
  layout: ["papers", "", 1, ["paper"]],
  per_tensor_sides: ["true", 1, 0, []],
  strength: ["0.5", true, [1]],
  fan_in_fan_out: ["false", 0, []],
  target_modules: [1, true, {}, ["m", 1], [["m"]]],
  variant_overrides: [[], "ether", { m: "either" }, { m: null }, { m: ["ether"] }],
  fused_qkv: [[], true, { m: 1 }, { m: {} }],
  base_fingerprint: [[], "00", {}, { structure: 1 }, { structure: "00" }, { structure: "g".repeat(64) }],
  bias: [false, 1, []],
};

for (const [field, values] of Object.entries(WRONG)) {
  Deno.test(`a value that ${field} cannot have is bad_config, with the field and the value`, async () => {
    for (const value of values) {
      const error = await refusal({ config: { [field]: value } });
      assertEquals([error.code, error.field?.split(".")[0]], ["bad_config", field], JSON.stringify(value));
      assertEquals(/\.json$/.test(error.file!), true);
    }
  });
}

const OPTIONAL = Object.keys(WRONG).filter((field) => !REQUIRED.includes(field) && field !== "layout");

Deno.test("an optional field may be absent or null, as Python writes None", async () => {
  const nulls = Object.fromEntries(OPTIONAL.map((field) => [field, null]));
  assertEquals(await transformed({ config: nulls }), ["m.weight ether:in"]);
});

Deno.test("a config that is no JSON object is bad_config", async () => {
  const texts = ["", "[]", "null", "{", '{"peft_type": "ETHER",}', '{"a": 1, "a": 2}', '{"a": NaN}', "\ufeff{}"];
  const base = makeFolder({ "model.safetensors": tensorFile({ "m.weight": { dtype: "F32", shape: [12, 8] } }) });
  for (const text of texts) {
    const adapter = makeAdapter();
    addFiles(adapter, { "adapter_config.json": text });
    const error = await assertRejects(() => prepareMerge({ base, adapters: [{ path: adapter }] }), EtherError);
    assertEquals([error.code, error.file], ["bad_config", `${adapter}/adapter_config.json`], text);
  }
});

const FUSED = { n_head: 2, n_query_groups: 1, head_size: 2 };
const WRONG_FUSED: readonly (readonly [fields: object, field: string])[] = [
  [{ ...FUSED, n_head: 0 }, "n_head"],
  [{ ...FUSED, n_head: "2" }, "n_head"],
  [{ ...FUSED, n_query_groups: undefined }, "n_query_groups"],
  [{ ...FUSED, n_head: 3, n_query_groups: 2 }, "n_query_groups"],
  [{ ...FUSED, head_size: 0.5 }, "head_size"],
  [{ ...FUSED, order: "interleaved" }, "order"],
];

for (const [fields, field] of WRONG_FUSED) {
  Deno.test(`fused_qkv ${JSON.stringify(fields)} is bad_config and names ${field} by its path`, async () => {
    const error = await refusal({ config: { fused_qkv: { qkv: fields } } });
    assertEquals([error.code, error.field], ["bad_config", `fused_qkv.qkv.${field}`]);
  });
}

const LAYOUT_CASES: readonly (readonly [config: Record<string, unknown>, needed: boolean])[] = [
  [{ sides: ["in"], num_blocks: 2 }, true],
  [{ sides: ["in", "out"], num_blocks: 2, per_tensor_sides: true }, true],
  [{ sides: ["in"], num_blocks: 1 }, false],
  [{ sides: ["out"], num_blocks: 2 }, false],
];

for (const [config, needed] of LAYOUT_CASES) {
  Deno.test(`layout ${needed ? "is required" : "makes no difference"} with ${JSON.stringify(config)}`, async () => {
    const [side, blocks] = [(config.sides as string[])[0]!, config.num_blocks as number];
    const adapter = { [`m.ether_u_${side}`]: [blocks, (side === "in" ? 8 : 12) / blocks] };
    if (!needed) {
      assertEquals(await transformed({ config: { ...config, layout: undefined }, adapter }), [
        `m.weight ether:${side}`,
      ]);
      return;
    }
    for (const layout of [undefined, null]) {
      const error = await refusal({ config: { ...config, layout }, adapter });
      assertEquals([error.code, error.field], ["layout_required", "layout"]);
      assertMatch(error.hint!, /"reference"/);
    }
  });
}

Deno.test("bias other than none is unsupported_feature: a bias is never transformed", async () => {
  for (const bias of ["all", "ether_only", "lora_only", ""]) {
    const error = await refusal({ config: { bias } });
    assertEquals([error.code, error.field], ["unsupported_feature", "bias"]);
  }
});

Deno.test("fields that PEFT writes are known; others are ignored with one warning that names them", async () => {
  const known = {
    ...{ task_type: "CAUSAL_LM", inference_mode: true, base_model_name_or_path: "x", revision: null, litgpt: {} },
    ...{ auto_mapping: null, peft_version: "0.17", modules_to_save: null, layers_to_transform: null },
  };
  assertEquals((await plan({ config: known })).warnings, []);
  const { warnings } = await plan({ config: { ...known, num_block: 3, "überflüssig": 1 } });
  assertEquals(warnings.length, 1);
  assertMatch(warnings[0]!, /adapter_config\.json: ignored fields num_block, überflüssig$/);
});

Deno.test("dense blocks have no partial strength, from the config or from the caller", async () => {
  const adapter = { "m.ether_R_in": [2, 4, 4] };
  for (const pair of [{ config: { strength: 0.5 } }, { strength: 0.5 }, { config: { strength: 2 }, strength: 1 }]) {
    const error = await refusal({ ...pair, config: { ...pair.config, variant: "oft" }, adapter });
    assertEquals([error.code, error.field], ["unsupported", "strength"]);
  }
  const config = { variant: "oft", strength: 2 };
  assertEquals(await transformed({ config, strength: 0.5, adapter }), ["m.weight oft:in"]);
  const overridden = { variant_overrides: { m: "oft" } };
  assertEquals((await refusal({ config: overridden, strength: 0.5, adapter })).code, "unsupported");
});

Deno.test("a strength beyond f32 is bad_config in a config, and wrong usage from the caller", async () => {
  const fromConfig = await refusal({ config: { strength: 3e38 } });
  assertEquals([fromConfig.code, fromConfig.field], ["bad_config", "strength"]);
  const fromCaller = await refusal({ strength: 3e38 });
  assertEquals([fromCaller.code, fromCaller.field], ["usage", "--strength"]);
  assertEquals((await plan({ config: { strength: 3e38 }, strength: 1e-38 })).transformed.length, 1);
});

Deno.test("strength 0 changes nothing, and every check is made all the same", async () => {
  assertEquals(await transformed({ strength: 0 }), []);
  assertEquals((await refusal({ strength: 0, adapter: { "n.ether_u_in": [2, 4] } })).code, "unknown_target");
});
