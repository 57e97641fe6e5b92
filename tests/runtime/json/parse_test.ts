import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import broken from "../../../fixtures/hostile/json.json" with { type: "json" };
import { EtherError } from "../../../runtime/error.ts";
import { MAX_DOCUMENT_LENGTH, MAX_VALUES, parseJson } from "../../../runtime/json/parse.ts";
import { toPlain } from "../../../runtime/json/plain.ts";
import { JsonNumber } from "../../../runtime/json/value.ts";

interface BrokenText {
  name: string;
  says: string;
  text?: string;
  hex?: string;
  repeat?: [string, number];
}

function bytesOf({ text, hex, repeat }: Omit<BrokenText, "name" | "says">): Uint8Array<ArrayBuffer> {
  if (hex !== undefined) return Uint8Array.fromHex(hex);
  return new TextEncoder().encode(repeat === undefined ? text : repeat[0].repeat(repeat[1]));
}

const parse = (text: string) => parseJson(bytesOf({ text }), "bad_config", "x.json");

for (const { name, says, ...text } of broken as unknown as BrokenText[]) {
  Deno.test(`parseJson refuses: ${name}`, () => {
    const error = assertThrows(() => parseJson(bytesOf(text), "bad_index", "x.json"), EtherError);
    assertEquals([error.code, error.file], ["bad_index", "x.json"]);
    assertStringIncludes(error.message, says);
  });
}

Deno.test("parseJson gives what JSON.parse gives, for any value and any layout", () => {
  fc.assert(fc.property(fc.json({ stringUnit: "binary", maxDepth: 6 }), fc.nat(3), (text, indent) => {
    const laidOut = JSON.stringify(JSON.parse(text), null, indent);
    assertEquals(JSON.stringify(toPlain(parse(laidOut))), JSON.stringify(JSON.parse(laidOut)));
  }));
});

Deno.test("parseJson never accepts what JSON.parse refuses, and gives the same where both accept", () => {
  const alphabet = [
    '"',
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "0",
    "1",
    "-",
    ".",
    "e",
    "u",
    "d8",
    "00",
    "true",
    "a",
  ];
  const soup = fc.array(fc.constantFrom(...alphabet), { maxLength: 12 }).map((parts) => parts.join(""));
  fc.assert(
    fc.property(soup, (text) => {
      let ours: unknown;
      try {
        ours = toPlain(parse(text));
      } catch (error) {
        assert(error instanceof EtherError, `${error}`);
        return;
      }
      assertEquals(JSON.stringify(ours), JSON.stringify(JSON.parse(text)));
    }),
    { numRuns: 5000 },
  );
});

Deno.test("parseJson keeps the order of keys, and __proto__ as a name", () => {
  const object = parse('{"b":1,"__proto__":{"x":2},"10":3,"9":4,"toString":5}');
  assert(object instanceof Map);
  assertEquals([...object.keys()], ["b", "__proto__", "10", "9", "toString"]);
});

Deno.test("parseJson accepts 64 levels, white space around, and every escape", () => {
  parse("[".repeat(64) + "]".repeat(64));
  assertEquals(parse(" \r\n\t[ ] \r\n\t"), []);
  assertEquals(
    parse('"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uD83D\\uDE00\\ud7ff\\ue000\u2028\u007f\u{10ffff}"'),
    '"\\/\b\f\n\r\t\0\u{1f600}\ud7ff\ue000\u2028\u007f\u{10ffff}',
  );
});

Deno.test("parseJson keeps numbers as written; only digits are an exact integer", () => {
  const cases: [string, number, bigint | undefined][] = [
    ["0", 0, 0n],
    ["-7", -7, -7n],
    ["18446744073709551615", 2 ** 64, 18446744073709551615n],
    ["-0", -0, undefined],
    ["4.0", 4, undefined],
    ["4e0", 4, undefined],
    ["-1.50E+2", -150, undefined],
    ["1e-999", 0, undefined],
    ["1.7976931348623157e308", Number.MAX_VALUE, undefined],
  ];
  for (const [text, value, integer] of cases) {
    const number = parse(` ${text} `);
    assert(number instanceof JsonNumber);
    assertEquals([number.text, number.value, number.integer], [text, value, integer]);
  }
});

Deno.test("parseJson bounds how much a small file can become", () => {
  const flood = `[${"{},".repeat(MAX_VALUES)}{}]`;
  assertThrows(() => parse(flood), EtherError, `more than ${MAX_VALUES} values`);
  const long = new Uint8Array(MAX_DOCUMENT_LENGTH + 1);
  assertThrows(() => parseJson(long, "bad_index", "x.json"), EtherError, "100000001 bytes");
});

Deno.test("JsonNumber.ofInteger refuses what a double does not hold exactly", () => {
  assertEquals(JsonNumber.ofInteger(Number.MAX_SAFE_INTEGER).text, "9007199254740991");
  assertEquals(JsonNumber.ofInteger(-0).text, "0");
  assertThrows(() => JsonNumber.ofInteger(2 ** 53), RangeError);
  assertThrows(() => JsonNumber.ofInteger(0.5), RangeError);
});
