/** If-Match, If-None-Match and If-Range, and which of them counts first. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { judgePreconditions, rangeApplies } from "../../../routes/files/preconditions.ts";

const CASES: readonly [headers: Record<string, string>, expected: string][] = [
  [{}, "proceed"],
  [{ "if-match": '"e"' }, "proceed"],
  [{ "if-match": '"x", "e"' }, "proceed"],
  [{ "if-match": "*" }, "proceed"],
  [{ "if-match": 'W/"e"' }, "failed"],
  [{ "if-match": '"x"' }, "failed"],
  [{ "if-match": "e" }, "failed"],
  [{ "if-match": "" }, "failed"],
  [{ "if-none-match": '"e"' }, "not-modified"],
  [{ "if-none-match": 'W/"e"' }, "not-modified"],
  [{ "if-none-match": '"x" , W/"e"' }, "not-modified"],
  [{ "if-none-match": "*" }, "not-modified"],
  [{ "if-none-match": '"x"' }, "proceed"],
  [{ "if-none-match": '"a,e"' }, "proceed"],
  [{ "if-none-match": "e" }, "proceed"],
  [{ "if-match": '"x"', "if-none-match": '"e"' }, "failed"],
  [{ "if-match": '"e"', "if-none-match": '"e"' }, "not-modified"],
  [{ "if-modified-since": "Sun, 06 Nov 2094 08:49:37 GMT" }, "proceed"],
  [{ "if-unmodified-since": "Sun, 06 Nov 1994 08:49:37 GMT" }, "proceed"],
];

for (const [headers, expected] of CASES) {
  Deno.test(`judgePreconditions: ${JSON.stringify(headers)} is ${expected}`, () => {
    assertEquals(judgePreconditions(new Headers(headers), "e"), expected);
  });
}

const RANGES: readonly [ifRange: string | null, applies: boolean][] = [
  [null, true],
  ['"e"', true],
  [' "e" ', true],
  ['W/"e"', false],
  ['"x"', false],
  ["e", false],
  ["*", false],
  ['"e", "x"', false],
  ["Sun, 06 Nov 2094 08:49:37 GMT", false],
];

for (const [ifRange, applies] of RANGES) {
  Deno.test(`rangeApplies: If-Range ${ifRange} ${applies ? "keeps" : "drops"} the range`, () => {
    assertEquals(rangeApplies(new Headers(ifRange === null ? {} : { "if-range": ifRange }), "e"), applies);
  });
}

Deno.test("judgePreconditions: a list holds a tag if and only if it is one of its items", () => {
  const tag = fc.stringMatching(/^[a-c,]{0,3}$/);
  const item = fc.record({ weak: fc.boolean(), opaque: tag });
  fc.assert(fc.property(fc.array(item, { minLength: 1 }), tag, (items, etag) => {
    const list = items.map(({ weak, opaque }) => `${weak ? "W/" : ""}"${opaque}"`).join(", ");
    const none = judgePreconditions(new Headers({ "if-none-match": list }), etag);
    assertEquals(none, items.some(({ opaque }) => opaque === etag) ? "not-modified" : "proceed");
    const match = judgePreconditions(new Headers({ "if-match": list }), etag);
    assertEquals(match, items.some(({ weak, opaque }) => !weak && opaque === etag) ? "proceed" : "failed");
  }));
});
