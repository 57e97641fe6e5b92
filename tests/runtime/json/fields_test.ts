import { assertEquals, assertThrows } from "@std/assert";
import { EtherError } from "../../../runtime/error.ts";
import {
  BOOLEAN,
  type FieldKind,
  Fields,
  INTEGER,
  NUMBER,
  OBJECT,
  oneOf,
  POSITIVE_INTEGER,
  STRING,
  STRING_LIST,
} from "../../../runtime/json/fields.ts";
import { parseJson } from "../../../runtime/json/parse.ts";

function fieldsOf(text: string): Fields {
  const bytes = new TextEncoder().encode(text);
  return Fields.ofDocument(parseJson(bytes, "bad_config", "c.json"), "bad_config", "c.json");
}

const accepted: [string, FieldKind<unknown>, unknown][] = [
  ['"x"', STRING, "x"],
  ["false", BOOLEAN, false],
  ["-1.5e2", NUMBER, -150],
  ["-7", INTEGER, -7],
  ["0", INTEGER, 0],
  ["9007199254740991", POSITIVE_INTEGER, 9007199254740991],
  ["[]", STRING_LIST, []],
  ['["in","out"]', STRING_LIST, ["in", "out"]],
  ["{}", OBJECT, new Map()],
  ['"paper"', oneOf("paper", "reference"), "paper"],
];

for (const [text, kind, value] of accepted) {
  Deno.test(`Fields reads ${text} as ${kind.what}`, () => {
    assertEquals(fieldsOf(`{"x":${text}}`).required("x", kind), value);
    assertEquals(fieldsOf(`{"x":${text}}`).optional("x", kind), value);
  });
}

const refused: [string, FieldKind<unknown>, string][] = [
  ["1", STRING, "x is 1, not a string"],
  ["null", STRING, "x is null, not a string"],
  ['"true"', BOOLEAN, 'x is "true", not true or false'],
  ["1", BOOLEAN, "x is 1, not true or false"],
  ['"1"', NUMBER, 'x is "1", not a number'],
  ["4.5", POSITIVE_INTEGER, "x is 4.5, not a positive integer"],
  ["4.0", POSITIVE_INTEGER, "x is 4.0, not a positive integer"],
  ["0", POSITIVE_INTEGER, "x is 0, not a positive integer"],
  ["-0", INTEGER, "x is -0, not an integer"],
  ["9007199254740992", INTEGER, "x is 9007199254740992, not an integer"],
  ['"in"', STRING_LIST, 'x is "in", not a list'],
  ['["in",1,[2]]', STRING_LIST, 'x is ["in", 1, …], not a list, each item a string'],
  ["[]", OBJECT, "x is [], not an object"],
  ['"Paper"', oneOf("paper", "reference"), 'x is "Paper", not one of "paper", "reference"'],
];

for (const [text, kind, says] of refused) {
  Deno.test(`Fields refuses ${text} as ${kind.what}`, () => {
    for (const read of ["required", "optional"] as const) {
      const error = assertThrows(() => fieldsOf(`{"x":${text}}`)[read]("x", kind), EtherError, says);
      assertEquals([error.code, error.file, error.field], ["bad_config", "c.json", "x"]);
    }
  });
}

Deno.test("Fields tells absent from null: required, optional and nullable", () => {
  const fields = fieldsOf('{"none":null}');
  assertEquals(fields.optional("absent", STRING), undefined);
  assertEquals(fields.nullable("absent", STRING), undefined);
  assertEquals(fields.nullable("none", STRING), undefined);
  assertThrows(() => fields.optional("none", STRING), EtherError, "none is null");
  assertThrows(() => fields.required("absent", STRING), EtherError, "absent is missing; it must be a string");
  assertThrows(() => fields.required("__proto__", OBJECT), EtherError, "__proto__ is missing");
});

Deno.test("Fields names a field of a field by its path", () => {
  const error = assertThrows(() => fieldsOf('{"a":{"b":1}}').within("a").required("b", STRING), EtherError);
  assertEquals([error.field, error.message], ["a.b", "a.b is 1, not a string"]);
});

Deno.test("Fields.ofDocument refuses what is no object", () => {
  assertThrows(() => fieldsOf("[1,2,3,4,5]"), EtherError, "the file holds [1, 2, 3, 4, …], not an object");
});
