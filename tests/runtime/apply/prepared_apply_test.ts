/** The library's calls: what they read, refuse and survive. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { EtherError } from "../../../runtime/error.ts";
import { prepareApply } from "../../../runtime/apply/prepare_apply.ts";
import { MemoryStorage } from "../execute/memory_storage.ts";
import { buildProblem, encodeValues, type Problem, tensorFile } from "../execute/problem.ts";
import { applyProblem, drawActivations, MODULE } from "./activations.ts";

const PROBLEM: Problem = {
  ...{ seed: 61, dtype: "BF16", outer: 600, inner: 512 },
  adapters: [
    { variant: "etherplus", sides: ["in", "out"], layout: "reference", numBlocks: 8 },
    { variant: "ether", sides: ["in"], layout: "reference", numBlocks: 16 },
  ],
};

async function codeOf(work: () => Promise<unknown>): Promise<string> {
  return (await assertRejects(work, EtherError)).code;
}

Deno.test("linear: W is read once, for tokens of every adapter, in pieces of a tile", async () => {
  for (const fanInFanOut of [false, true]) {
    const built = await buildProblem({ ...PROBLEM, fanInFanOut });
    await using apply = await applyProblem(built);
    const count = built.storage.reads.get("base/model.safetensors")!;
    const before = count.byteLength;
    const x = drawActivations(PROBLEM, 9, PROBLEM.inner);
    await apply.linear(MODULE, x, { rows: [0, 1, -1, 0, 1, -1, 0, 0, 1] });
    assertEquals(count.byteLength - before, built.base.byteLength);
    if (!fanInFanOut) assert(count.largest <= 1 << 20, `${count.largest} bytes at once`);
    // A pass for each token where there is no room for two.
    await using narrow = await applyProblem(built, 1);
    const again = built.storage.reads.get("base/model.safetensors")!;
    const start = again.byteLength;
    assertEquals(await narrow.linear(MODULE, x), await apply.linear(MODULE, x));
    assertEquals(again.byteLength - start, 10 * built.base.byteLength);
  }
});

Deno.test("adapters' vectors are read once, however many calls there are", async () => {
  const built = await buildProblem(PROBLEM);
  await using apply = await applyProblem(built);
  const x = drawActivations(PROBLEM, 2, PROBLEM.inner);
  const first = await apply.linear(MODULE, x);
  const count = built.storage.reads.get("adapter0/adapter_model.safetensors")!;
  const before = count.byteLength;
  assertEquals(await apply.linear(MODULE, x), first);
  assertEquals(count.byteLength, before);
});

Deno.test("calls that overlap: the same bytes as one after the other", async () => {
  const built = await buildProblem(PROBLEM);
  await using apply = await applyProblem(built);
  const inputs = [1, 2, 3].map((count) => drawActivations({ ...PROBLEM, seed: count }, count, PROBLEM.inner));
  const together = await Promise.all(inputs.map((x) => apply.linear(MODULE, x)));
  for (const [i, x] of inputs.entries()) assertEquals(await apply.linear(MODULE, x), together[i]);
});

Deno.test("a signal stops a call with its reason; the next call is not touched", async () => {
  const built = await buildProblem(PROBLEM);
  await using apply = await applyProblem(built);
  const x = drawActivations(PROBLEM, 2, PROBLEM.inner);
  const whole = await apply.linear(MODULE, x);
  const reason = new Error("enough");
  for (const op of ["out", "linear"] as const) {
    const error = await assertRejects(() =>
      apply[op](MODULE, op === "out" ? new Float32Array(600) : x, {
        signal: AbortSignal.abort(reason),
      }), Error);
    assertEquals(error, reason);
  }
  // In the middle: when the second tile is read.
  const stop = new AbortController();
  let reads = 0;
  const openSource = (locator: string) => {
    const source = built.storage.openSource(locator);
    return {
      ...source,
      read: (offset: number, into: Uint8Array) => {
        if (locator.startsWith("base/") && ++reads > 3) stop.abort(reason);
        return source.read(offset, into);
      },
    };
  };
  const adapters = [{ place: built.storage.place("adapter0") }, { place: built.storage.place("adapter1") }];
  await using other = await prepareApply({ base: built.storage.place("base"), adapters }, {
    openSource,
    startDigest: built.storage.startDigest,
  });
  assertEquals(await assertRejects(() => other.linear(MODULE, x, { signal: stop.signal }), Error), reason);
  assertEquals(await other.linear(MODULE, x), whole);
});

Deno.test("what is refused, by code", async () => {
  const built = await buildProblem(PROBLEM);
  const adapters = [{ place: built.storage.place("adapter0") }];
  const apply = await applyProblem(built);
  const alone = await prepareApply({ adapters }, built.storage);
  const x = new Float32Array(512);
  const refusals: readonly (readonly [string, () => Promise<unknown>])[] = [
    ["unknown_target", () => apply.linear("model.layers.0.mixed", x)],
    ["unknown_target", () => alone.out("model.layers.0.mixed", x)],
    ["bad_shape", () => apply.linear(MODULE, new Float32Array(511))],
    ["bad_shape", () => apply.out(MODULE, new Float32Array(601))],
    ["bad_shape", () => apply.linear(MODULE, x, { rows: [0, 0] })],
    ["usage", () => apply.linear(MODULE, x, { rows: [2] })],
    ["usage", () => apply.linear(MODULE, x, { rows: [-2] })],
    ["usage", () => apply.linear(MODULE, x, { rows: [0.5] })],
    ["usage", () => alone.linear(MODULE, x)],
    ["unsupported", () => apply.in(MODULE, x)],
    ["usage", () => prepareApply({ adapters: [{ ...adapters[0]!, strength: NaN }] }, built.storage)],
  ];
  for (const [code, work] of refusals) assertEquals(await codeOf(work), code, work.toString());
  await alone.close();
  await apply.close();
  assertEquals(await codeOf(() => apply.linear(MODULE, x)), "usage");
});

Deno.test("adapters alone that differ in a side's dimension: bad_shape", async () => {
  const [one, other] = [await buildProblem(PROBLEM), await buildProblem({ ...PROBLEM, inner: 256 })];
  const storage = new MemoryStorage();
  for (const [i, built] of [one, other].entries()) {
    for (const name of ["adapter_model.safetensors", "adapter_config.json"]) {
      storage.set(`adapter${i}/${name}`, built.storage.get(`adapter0/${name}`));
    }
  }
  await using apply = await prepareApply({
    adapters: [{ place: storage.place("adapter0") }, { place: storage.place("adapter1") }],
  }, storage);
  assertEquals(await codeOf(() => apply.in(MODULE, new Float32Array(512))), "bad_shape");
});

Deno.test("linear: the bias is added after H̃, in each dtype, and refused in another shape", async () => {
  for (const dtype of ["F32", "F16", "BF16"] as const) {
    const built = await buildProblem(PROBLEM);
    const x = drawActivations(PROBLEM, 3, PROBLEM.inner);
    await using plain = await applyProblem(built);
    const y = await plain.linear(MODULE, x);
    const bias = Float32Array.from({ length: 600 }, (_, i) => (i % 64 - 32) / 8);
    const weight = [`${MODULE}.weight`, "BF16", [600, 512], built.base] as const;
    const withBias = (length: number) => {
      const values = encodeValues(dtype, bias.subarray(0, length));
      built.storage.set("base/model.safetensors", tensorFile([[`${MODULE}.bias`, dtype, [length], values], weight]));
    };
    withBias(600);
    await using biased = await applyProblem(built);
    assertEquals(await biased.linear(MODULE, x), y.map((value, i) => value + bias[i % 600]!));
    withBias(599);
    await using wrong = await applyProblem(built);
    const error = await assertRejects(
      () => wrong.linear(MODULE, x),
      EtherError,
      `${MODULE}.bias has shape [599], not [600]`,
    );
    assertEquals(error.code, "bad_shape");
  }
});

Deno.test("linear: an adapter that vouches for other bytes of the base is refused, unless that is allowed", async () => {
  const built = await buildProblem({ ...PROBLEM, adapters: PROBLEM.adapters.slice(0, 1) });
  const { storage } = built;
  const config = JSON.parse(new TextDecoder().decode(storage.get("adapter0/adapter_config.json")));
  const digest = async (bytes: Uint8Array<ArrayBuffer>) =>
    new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  const structure = await digest(new TextEncoder().encode(`${MODULE}.weight\tBF16\t600,512\n`));
  const x = new Float32Array(512);
  for (
    const [sha256, allowBaseMismatch, code] of [
      [await digest(built.base), false, null],
      ["0".repeat(64), false, "base_mismatch"],
      ["0".repeat(64), true, null],
    ] as const
  ) {
    const base_fingerprint = { structure, targets: { [`${MODULE}.weight`]: sha256 } };
    storage.set("adapter0/adapter_config.json", JSON.stringify({ ...config, base_fingerprint }));
    const adapters = [{ place: storage.place("adapter0") }];
    await using apply = await prepareApply({ base: storage.place("base"), adapters, allowBaseMismatch }, storage);
    if (code !== null) assertEquals(await codeOf(() => apply.linear(MODULE, x)), code);
    else assertEquals(await apply.linear(MODULE, x), new Float32Array(600));
    // Who does not use the adapter need not care.
    assertEquals(await apply.linear(MODULE, x, { rows: [-1] }), new Float32Array(600));
  }
});

Deno.test("linear of a module that no adapter has: the base, stored [in, out] where GPT-2's names say so", async () => {
  const values = Float32Array.from({ length: 6 }, (_, i) => i + 1);
  const bytes = new Uint8Array(values.buffer);
  const storage = new MemoryStorage();
  storage.set(
    "base/model.safetensors",
    tensorFile([["h.0.mlp.c_fc.weight", "F32", [2, 3], bytes], ["h.0.mlp.other.weight", "F32", [2, 3], bytes], [
      "h.0.mlp.norm.weight",
      "F32",
      [6],
      bytes,
    ]]),
  );
  storage.set("base/config.json", JSON.stringify({ model_type: "gpt2" }));
  await using apply = await prepareApply({ base: storage.place("base"), adapters: [] }, storage);
  assertEquals(await apply.linear("h.0.mlp.c_fc", Float32Array.of(1, 10)), Float32Array.of(41, 52, 63));
  assertEquals(await apply.linear("h.0.mlp.other", Float32Array.of(1, 10, 100)), Float32Array.of(321, 654));
  assertEquals(await codeOf(() => apply.linear("h.0.mlp.norm", new Float32Array(6))), "bad_shape");
  storage.set("base/config.json", JSON.stringify({ model_type: "llama", quantization_config: { bits: 4 } }));
  await using quantised = await prepareApply({ base: storage.place("base"), adapters: [] }, storage);
  assertEquals(await codeOf(() => quantised.linear("h.0.mlp.other", new Float32Array(3))), "unsupported_dtype");
});

Deno.test("a head that shares the embedding's weight: refused, unless it is untied", async () => {
  const storage = new MemoryStorage();
  const values = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  storage.set(
    "base/model.safetensors",
    tensorFile([["model.embed_tokens.weight", "F32", [4, 2], new Uint8Array(values.buffer)]]),
  );
  const u = new Uint8Array(Float32Array.of(3, 0).buffer);
  storage.set(
    "adapter/adapter_model.safetensors",
    tensorFile([["base_model.model.lm_head.ether_u_in", "F32", [1, 2], u]]),
  );
  storage.set(
    "adapter/adapter_config.json",
    JSON.stringify({ peft_type: "ETHER", variant: "ether", sides: ["in"], num_blocks: 1 }),
  );
  const request = { base: storage.place("base"), adapters: [{ place: storage.place("adapter") }] };
  assertEquals(await codeOf(() => prepareApply(request, storage)), "tied_head");
  await using apply = await prepareApply({ ...request, untie: true }, storage);
  // x ← (−x₀, x₁).
  assertEquals(await apply.linear("lm_head", Float32Array.of(1, 10)), Float32Array.of(19, 37, 55, 73));
});
