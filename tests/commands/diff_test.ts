import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { diff } from "../../commands/diff.ts";
import { Console } from "../../commands/console.ts";
import { fitName, fitRows } from "../../commands/fit_table.ts";
import { assertDone, assertRefused, mergeArgs, run } from "./command_line.ts";
import { type MadeTensor, makeAdapter, makeBase, makeFolder, newPath, tensorFile } from "./made_files.ts";

/** A model of some tensors. */
function makeModel(tensors: Readonly<Record<string, MadeTensor>>): string {
  return makeFolder({ "model.safetensors": tensorFile(tensors) });
}

/** What `diff --json` says, and its exit code; in this process. */
async function diffHere(a: string, b: string) {
  let text = "";
  const console = new Console({ quiet: true, verbose: false });
  console.result = (line) => text = line;
  const context = { console, json: true, signal: new AbortController().signal };
  const code = await diff(a, b, { quiet: true, json: true }, context);
  return { code, document: JSON.parse(text) };
}

/** F32 bytes. */
const f32 = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

Deno.test("diff of a model with itself, and with the same in other shards and another order: equal, exit 0", async () => {
  const [x, y, z]: MadeTensor[] = [1, 2, 3].map((value) => ({ dtype: "F32", shape: [2], bytes: f32(value, -value) }));
  const one = makeModel({ x: x!, y: y!, z: z! });
  const sharded = makeFolder({
    "model.safetensors.index.json": { weight_map: { z: "b.safetensors", x: "a.safetensors", y: "b.safetensors" } },
    "a.safetensors": tensorFile({ x: x! }),
    "b.safetensors": tensorFile({ z: z!, y: y! }),
  });
  for (const [a, b] of [[one, one], [one, sharded], [sharded, one], [one, `${one}/model.safetensors`]] as const) {
    const outcome = await run(["diff", a, b]);
    assertDone(outcome);
    assertEquals([outcome.stdout, outcome.stderr], ["3 tensors: 3 equal\n", ""]);
  }
});

Deno.test("diff of a base with what merge made of it: one tensor changed, the rest equal, exit 4", async () => {
  const [base, merged] = [makeBase(), newPath("merged")];
  assertDone(await run(mergeArgs(base, makeAdapter(), merged)));
  const outcome = await run(["diff", base, merged]);
  assertEquals([outcome.code, outcome.stderr], [4, ""]);
  assertMatch(
    outcome.stdout,
    /^model\.layers\.0\.mlp\.up_proj\.weight +F32 +\d+ \(\d+\.\d %\) +[\d,]+ +[\d.,]+ +\d\.\d+$/m,
  );
  assertMatch(outcome.stdout, /\n7 tensors: 6 equal, 1 changed\n$/);
});

Deno.test("diff --json is one document that says how far apart each tensor is", async () => {
  const a = makeModel({
    same: { dtype: "F32", shape: [2], bytes: f32(1, 2) },
    near: { dtype: "F32", shape: [2, 2], bytes: f32(3, 4, 0, 1) },
    packed: { dtype: "F4", shape: [4], bytes: Uint8Array.of(0x21, 0x43) },
    shaped: { dtype: "F32", shape: [2, 1] },
    cast: { dtype: "F32", shape: [2], bytes: f32(1, 2) },
    whole: { dtype: "I64", shape: [1] },
    "only a": { dtype: "F32", shape: [1] },
  });
  const b = makeModel({
    "only b": { dtype: "F32", shape: [1] },
    whole: { dtype: "I32", shape: [1] },
    cast: { dtype: "BF16", shape: [2], bytes: Uint8Array.of(0x80, 0x3f, 0x20, 0x40) },
    shaped: { dtype: "F32", shape: [1, 2] },
    packed: { dtype: "F4", shape: [4], bytes: Uint8Array.of(0x21, 0x44) },
    near: { dtype: "F32", shape: [2, 2], bytes: f32(3, 4 + 2 ** -20, 0, NaN) },
    same: { dtype: "F32", shape: [2], bytes: f32(1, 2) },
  });
  const { code, document } = await diffHere(a, b);
  assertEquals([code, document.equal, document.a, document.b], [4, false, a, b]);
  assertEquals(document.counts, { equal: 1, changed: 2, dtype: 2, shape: 1, missing_in_a: 1, missing_in_b: 1 });
  const f32Of = (...shape: number[]) => ({ dtype: "F32", shape });
  assertEquals(document.tensors, [
    { name: "same", kind: "equal", a: f32Of(2), b: f32Of(2) },
    {
      ...{ name: "near", kind: "changed", a: f32Of(2, 2), b: f32Of(2, 2), elements: 4, changed: 2, nan: 1 },
      ...{ ulp: { max: 2, mean: 2 }, relative_norm: 2 ** -20 / 5 },
    },
    {
      ...{ name: "packed", kind: "changed", a: { dtype: "F4", shape: [4] }, b: { dtype: "F4", shape: [4] } },
      ...{ elements: 4, changed: 1, nan: 0, ulp: null, relative_norm: null },
    },
    { name: "shaped", kind: "shape", a: f32Of(2, 1), b: f32Of(1, 2) },
    {
      ...{
        name: "cast",
        kind: "dtype",
        a: f32Of(2),
        b: { dtype: "BF16", shape: [2] },
        elements: 2,
        changed: 1,
        nan: 0,
      },
      ...{ ulp: null, relative_norm: 0.5 / Math.sqrt(5) },
    },
    { name: "whole", kind: "dtype", a: { dtype: "I64", shape: [1] }, b: { dtype: "I32", shape: [1] } },
    { name: "only a", kind: "missing_in_b", a: f32Of(1), b: null },
    { name: "only b", kind: "missing_in_a", a: null, b: f32Of(1) },
  ]);
});

Deno.test("diff in words names what is missing and what has another dtype or shape", async () => {
  const a = makeModel({
    x: { dtype: "F32", shape: [2] },
    y: { dtype: "F32", shape: [3] },
    z: { dtype: "U8", shape: [1] },
  });
  const b = makeModel({
    x: { dtype: "F16", shape: [2] },
    y: { dtype: "F32", shape: [1, 3] },
    w: { dtype: "U8", shape: [1] },
  });
  const { code, stdout } = await run(["diff", a, b]);
  assertEquals(code, 4);
  for (const line of ["x       F32 → F16", "y       [3] → [1,3]", "z       only in A", "w       only in B"]) {
    assertStringIncludes(stdout, `\n${line}`);
  }
  assertStringIncludes(stdout, "4 tensors: 1 of another dtype, 1 of another shape, 1 only in B, 1 only in A\n");
});

Deno.test("diff finds one flipped bit anywhere in a tensor of several blocks, and counts it once", async () => {
  const elementCount = (1 << 20) + 4321;
  const bytes = new Uint8Array(2 * elementCount).map((_, i) => i * 7 + (i >> 8));
  // No NaN, and no infinity.
  for (let i = 1; i < bytes.length; i += 2) bytes[i]! &= 0xbf;
  const model = (bytes: Uint8Array) =>
    makeModel({ first: { dtype: "U8", shape: [3] }, long: { dtype: "BF16", shape: [elementCount], bytes } });
  const a = model(bytes);
  for (const element of [0, 4095, 4096, (1 << 18) - 1, 1 << 18, (1 << 20) - 1, 1 << 20, elementCount - 1]) {
    const changed = bytes.slice();
    changed[2 * element]! ^= 1;
    const { code, document } = await diffHere(a, model(changed));
    const { kind, elements, changed: count, ulp } = document.tensors[1];
    assertEquals(
      [code, kind, elements, count, ulp],
      [4, "changed", elementCount, 1, { max: 1, mean: 1 }],
      `${element}`,
    );
  }
  assertEquals((await diffHere(a, model(bytes))).code, 0);
});

Deno.test("diff of tensors without elements, and of models without tensors", async () => {
  const empty = makeModel({ a: { dtype: "F32", shape: [0, 4] } });
  assertEquals((await diffHere(empty, empty)).document.counts.equal, 1);
  const none = await run(["diff", makeModel({}), makeModel({})]);
  assertEquals([none.code, none.stdout], [0, "0 tensors\n"]);
});

Deno.test("diff of something that is no model is refused, and names it", async () => {
  assertRefused(await run(["diff", makeBase(), newPath()]), 1, "not_found");
  assertRefused(await run(["diff", makeFolder({ "a.txt": "x" }), makeBase()]), 1, "unsupported_format");
  assertRefused(await run(["diff", makeBase()]), 2, /^error: usage: .*missing required argument 'b'/);
  const { code, stdout } = await run(["diff", makeBase(), newPath(), "--json"]);
  assertEquals([code, JSON.parse(stdout).error.code], [1, "not_found"]);
});

Deno.test("names in a table are cut in the middle, and only so far that a line fits", () => {
  const name = "model.layers.10.block_sparse_moe.experts.3.w1.weight";
  assertEquals(fitName(name, 60), name);
  assertEquals(fitName(name, 25), "model.la…erts.3.w1.weight");
  const rows = fitRows(["tensor", "n"], [[name, "123"], ["a", "4"]], 40);
  assertEquals(rows.map(([first]) => first!.length), [34, 1]);
  const layers = [2, 10].map((layer) => [`model.layers.${layer}.self_attn.q_proj.weight`, "1"]);
  const cut = (width: number) => fitRows(["tensor", "n"], layers, width).map(([first]) => first);
  assertEquals(cut(80), layers.map(([first]) => first));
  assertEquals(cut(30), ["…2", "…10"]);
  layers.push(["model.layers.10.mlp.up_proj.weight", "1"]);
  assertEquals(cut(30), ["…2.self_attn.q_proj", "…10.self_attn.q_proj", "…10.mlp.up_proj"]);
  assertEquals(fitRows(["tensor", "n"], [[name, "1"]], null)[0]![0], name);
});
