import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { prepareMerge } from "../../../runtime/deno/library.ts";
import { EtherError } from "../../../runtime/error.ts";
import { sha256Hex } from "../../../runtime/io/digest.ts";
import { makeAdapter, makeFolder, tensorFile } from "../../commands/made_files.ts";
import { type Pair, plan, refusal, transformed } from "./ether_pair.ts";

const base = { "m.weight": [12, 8], "é.weight": [3], "\u{1F600}": [], "\uFF5E": [0, 2] } as const;
/** Sorted by UTF-8 bytes: U+FF5E before U+1F600, which UTF-16 would turn around. */
const LINES = "m.weight\tF32\t12,8\né.weight\tF32\t3\n\uFF5E\tF32\t0,2\n\u{1F600}\tF32\t\n";
const structure = await sha256Hex(new TextEncoder().encode(LINES));
const targets = { "m.weight": "0".repeat(64) };

function fingerprint(fields: Record<string, unknown>): Pair {
  return { base, config: { base_fingerprint: fields } };
}

Deno.test("base_fingerprint: structure is the SHA-256 of name, dtype and shape of every tensor, in UTF-8 order", async () => {
  assertEquals(await transformed(fingerprint({ structure })), ["m.weight ether:in"]);
  assertEquals(await transformed(fingerprint({ structure: structure.toUpperCase() })), ["m.weight ether:in"]);
});

Deno.test("base_fingerprint: another structure is base_mismatch and shows both", async () => {
  const error = await refusal(fingerprint({ structure: "0".repeat(64) }));
  assertEquals([error.code, error.field], ["base_mismatch", "base_fingerprint.structure"]);
  assertMatch(error.message, new RegExp(`${structure}.*0{64}`));
  assertMatch(error.hint!, /--allow-base-mismatch/);
});

Deno.test("base_fingerprint: targets are checked while streaming; one that the base lacks is refused at once", async () => {
  const { expected } = await plan(fingerprint({ structure, targets }));
  assertEquals(expected.map(({ name, sha256, byteLength }) => [name, sha256, byteLength]), [
    ["m.weight", targets["m.weight"], 12 * 8 * 4],
  ]);
  const error = await refusal(fingerprint({ structure, targets: { "n.weight": "0".repeat(64) } }));
  assertEquals([error.code, error.tensor], ["base_mismatch", "n.weight"]);
  assertEquals((await refusal(fingerprint({ structure, targets: { "m.weight": "00" } }))).code, "bad_config");
});

Deno.test("base_fingerprint: --allow-base-mismatch warns instead, and leaves the bytes to be warned of", async () => {
  const pair = { ...fingerprint({ structure: "0".repeat(64), targets }), allowBaseMismatch: true };
  const { warnings, expected, transformed } = await plan(pair);
  assertEquals([warnings.length, expected.length, transformed.length], [1, 1, 1]);
  assertEquals(expected.map(({ overruled }) => overruled), [true]);
  assertMatch(warnings[0]!, /the base's structure is/);
});

const LISTS: readonly (readonly [targetModules: unknown, fits: boolean])[] = [
  [["m"], true],
  [["x.m"], true],
  [["layers.0.x.m"], true],
  [[], true],
  ["all-linear", true],
  [".*\\.m", true],
  ["layers\\.[0-9]+\\.x\\.(m|n)", true],
  [["m", "n"], false],
  [["0.x"], false],
  [["am"], false],
  [[""], false],
  ["m", false],
  ["layers\\.1\\..*", false],
  ["", false],
];

for (const [targetModules, fits] of LISTS) {
  Deno.test(`target_modules ${JSON.stringify(targetModules)} ${fits ? "agrees" : "is missing_param"}`, async () => {
    const pair = {
      base: { "layers.0.x.m.weight": [12, 8] },
      adapter: { "layers.0.x.m.ether_u_in": [2, 4] },
      config: { target_modules: targetModules },
    };
    if (fits) assertEquals((await plan(pair)).warnings, []);
    else {
      const error = await refusal(pair);
      assertEquals([error.code, error.field], ["missing_param", "target_modules"]);
    }
  });
}

for (const pattern of ["(?<=x)m", "(a)\\1", "[", "(?:"]) {
  Deno.test(`target_modules: the pattern ${pattern} is not checked, and that is said`, async () => {
    const { warnings, transformed } = await plan({ config: { target_modules: pattern } });
    assertEquals([warnings.length, transformed.length], [1, 1]);
    assertMatch(warnings[0]!, /target_modules .* is a pattern that could not be checked/);
  });
}

Deno.test("target_modules: a pattern that stalls a backtracking engine ends at once", async () => {
  const module = "a".repeat(40);
  const pair = {
    base: { [`${module}.weight`]: [12, 8] },
    adapter: { [`${module}.ether_u_in`]: [2, 4] },
    config: { target_modules: "(a+)+b" },
  };
  assertEquals((await refusal(pair)).code, "missing_param");
});

/** A repository whose two parts share a tensor name. */
function makeDiffusers(): string {
  const weights = tensorFile({ "m.weight": { dtype: "F32", shape: [12, 8] } });
  return makeFolder({
    "model_index.json": {},
    "unet/diffusion_pytorch_model.safetensors": weights,
    "vae/diffusion_pytorch_model.safetensors": weights,
  }, "base");
}

Deno.test("a name that two parts of a diffusers repository have is unknown_target, and says what to name", async () => {
  const adapter = makeAdapter({}, { "base_model.model.m.ether_u_in": { dtype: "F32", shape: [2, 4] } });
  const path = makeDiffusers();
  const error = await assertRejects(() => prepareMerge({ base: path, adapters: [{ path: adapter }] }), EtherError);
  assertEquals(error.code, "unknown_target");
  assertMatch(error.toLine(), /m\.weight is in unet\/.* and vae\/.*; name one of the base's folders as the base/);
  const { plan } = await prepareMerge({ base: `${path}/unet`, adapters: [{ path: adapter }] });
  assertEquals(plan.transformed.length, 1);
});

Deno.test("an adapter file whose config stands beside it is an adapter; a pickle is unsupported_format", async () => {
  const adapter = makeAdapter({}, { "base_model.model.m.ether_u_in": { dtype: "F32", shape: [2, 4] } });
  const base = makeFolder({ "model.safetensors": tensorFile({ "m.weight": { dtype: "F32", shape: [12, 8] } }) });
  const request = (path: string) => prepareMerge({ base, adapters: [{ path }] });
  assertEquals((await request(`${adapter}/adapter_model.safetensors`)).plan.transformed.length, 1);
  Deno.renameSync(`${adapter}/adapter_model.safetensors`, `${adapter}/adapter_model.bin`);
  for (const path of [adapter, `${adapter}/adapter_model.bin`]) {
    const error = await assertRejects(() => request(path), EtherError);
    assertEquals(error.code, "unsupported_format");
    assertMatch(error.toLine(), /adapter_model\.bin.*; save the adapter again with safe_serialization=True/);
  }
});
