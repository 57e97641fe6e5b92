import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { parseJson } from "../../../runtime/json/parse.ts";
import { JsonNumber } from "../../../runtime/json/value.ts";
import { writeJson } from "../../../runtime/json/write.ts";

const parse = (text: string) => parseJson(new TextEncoder().encode(text), "bad_config", "x.json");

Deno.test("writeJson lays out as JSON.stringify does, for any value and indent", () => {
  fc.assert(fc.property(fc.json({ stringUnit: "binary", maxDepth: 5 }), fc.nat(4), (json, indent) => {
    const expected = JSON.stringify(JSON.parse(json), null, indent);
    assertEquals(writeJson(parse(expected), indent), expected);
  }));
});

Deno.test("writeJson keeps what was not set: order, and numbers as they were written", () => {
  const text = '{\n  "rms_norm_eps": 1e-05,\n  "dtype": "float32",\n  "scale": 1.0,\n  "ids": [\n    128001,\n' +
    "    18446744073709551615\n  ],\n" + '  "2": {},\n  "1": []\n}';
  const config = parse(text);
  assertEquals(writeJson(config, 2), text);
  if (!(config instanceof Map)) throw new Error("not an object");
  config.set("dtype", "bfloat16");
  config.set("total_size", JsonNumber.ofInteger(2 ** 40));
  assertEquals(
    writeJson(config, 2),
    text.replace("float32", "bfloat16").replace("[]\n}", '[],\n  "total_size": 1099511627776\n}'),
  );
});
