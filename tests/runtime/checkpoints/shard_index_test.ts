import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { parseShardIndex } from "../../../runtime/checkpoints/shard_index.ts";
import { openModel } from "../../../runtime/deno/library.ts";
import { EtherError } from "../../../runtime/error.ts";
import { type Content, type MadeTensor, makeFolder, tensorFile } from "../../commands/made_files.ts";

const encode = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const parse = (value: unknown) => parseShardIndex(encode(value), "index.json");

Deno.test("parseShardIndex lists the shards by name, each once", () => {
  const index = parse({ metadata: {}, weight_map: { b: "2.safetensors", a: "1.safetensors", c: "2.safetensors" } });
  assertEquals(index.shards, ["1.safetensors", "2.safetensors"]);
  assertEquals([...index.shardOf], [["b", "2.safetensors"], ["a", "1.safetensors"], ["c", "2.safetensors"]]);
});

const BROKEN: readonly unknown[] = [
  ...["", "[]", "{}", "null", '{"weight_map": {"a": "1.safetensors", "a": "2.safetensors"}}'],
  ...[{ weight_map: [] }, { weight_map: {} }, { weight_map: { a: 1 } }, { weight_map: { a: null } }],
];

for (const value of BROKEN) {
  Deno.test(`parseShardIndex refuses ${JSON.stringify(value)}`, () => {
    assertEquals(assertThrows(() => parse(value), EtherError).code, "bad_index");
  });
}

const ESCAPING = [
  ...["../x.safetensors", "/etc/x.safetensors", "a/../../x.safetensors", "./x.safetensors", "a//x.safetensors", ""],
  ...["..\\x.safetensors", "C:x.safetensors", "x\0.safetensors", "x.bin", "x.safetensors/", ".."],
];

for (const shard of ESCAPING) {
  Deno.test(`parseShardIndex refuses the shard ${JSON.stringify(shard)}, and names its tensor`, () => {
    const error = assertThrows(() => parse({ weight_map: { "a.weight": shard } }), EtherError);
    assertEquals([error.code, error.field], ["bad_index", "weight_map.a.weight"]);
  });
}

const tensor: MadeTensor = { dtype: "F32", shape: [2] };

/** A folder of shards that does not agree with its index, and the message. */
const MISMATCHES: Readonly<Record<string, readonly [map: object, shards: Record<string, string[]>, message: RegExp]>> =
  {
    "a shard that is missing": [
      { a: "1.safetensors", b: "2.safetensors" },
      { 1: ["a"] },
      /names "2\.safetensors", which/,
    ],
    "a tensor that its shard lacks": [{ a: "1.safetensors", b: "1.safetensors" }, { 1: ["a"] }, /b: 1.* does not hold/],
    "a tensor that the index lacks": [
      { a: "1.safetensors" },
      { 1: ["a", "b"] },
      /b: 1.*holds a tensor that the index d/,
    ],
    "a tensor in another shard": [
      { a: "1.safetensors", b: "2.safetensors" },
      { 1: ["a", "b"], 2: [] },
      /b: 1\.safetensors holds a tensor that the index puts into 2\.safetensors/,
    ],
    "a tensor in two shards": [
      { a: "1.safetensors", b: "2.safetensors" },
      { 1: ["a", "b"], 2: ["b"] },
      /b: 1\.safetensors holds a tensor that the index puts into 2/,
    ],
  };

for (const [name, [weight_map, shards, message]] of Object.entries(MISMATCHES)) {
  Deno.test(`openModel refuses ${name} with bad_index`, async () => {
    const files: Record<string, Content> = { "model.safetensors.index.json": { weight_map } };
    for (const [shard, names] of Object.entries(shards)) {
      files[`${shard}.safetensors`] = tensorFile(Object.fromEntries(names.map((name) => [name, tensor])));
    }
    const error = await assertRejects(() => openModel(makeFolder(files)), EtherError);
    assertEquals(error.code, "bad_index");
    assertMatch(error.toLine(), message);
    assertMatch(error.toLine(), /; download the /);
  });
}

Deno.test("openModel accepts shards in a subfolder, and tensors named like an object's members", async () => {
  const names = ["__proto__", "constructor", "toString"];
  const weight_map = Object.fromEntries(names.map((name) => [name, "sub/1.safetensors"]));
  const model = await openModel(makeFolder({
    "model.safetensors.index.json": `{"weight_map":{${names.map((name) => `"${name}":"sub/1.safetensors"`)}}}`,
    "sub/1.safetensors": tensorFile(Object.fromEntries(names.map((name) => [name, tensor]))),
  }));
  assertEquals([...model.tensors.keys()].sort(), [...names].sort());
  assertEquals(Object.keys(weight_map).length, 3);
});
