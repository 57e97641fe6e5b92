import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { matchesGlob } from "../../../routes/access/glob.ts";

Deno.test("glob: agrees with the regular expression of the same meaning", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "."), maxLength: 8 });
  const pattern = fc.string({ unit: fc.constantFrom("a", "b", ".", "*"), maxLength: 8 });
  fc.assert(
    fc.property(pattern, text, (pattern, text) => {
      const expected = new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll("*", ".*")}$`).test(text);
      assertEquals(matchesGlob(pattern, text), expected, `${pattern} on ${text}`);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("glob: nothing but the star is special", () => {
  assertEquals(matchesGlob("a?c", "abc"), false);
  assertEquals(matchesGlob("[ab]", "a"), false);
  assertEquals(matchesGlob("a.c", "abc"), false);
  assertEquals(matchesGlob("", ""), true);
  assertEquals(matchesGlob("", "a"), false);
});
