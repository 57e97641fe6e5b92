import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { EtherError } from "../../../runtime/error.ts";
import {
  formatRecipe,
  isAdapterId,
  parseRecipe,
  parseStrength,
  type Recipe,
  strengthOf,
} from "../../../runtime/recipes/recipe.ts";

const HEX = "0123456789abcdef0123456789abcdef01234567";

const names = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/).filter(isAdapterId);
const recipes: fc.Arbitrary<Recipe> = fc.array(
  fc.record({ name: names, tenThousandths: fc.integer({ min: -999_999, max: 999_999 }) }),
  { maxLength: 16 },
);

Deno.test("parseRecipe undoes formatRecipe, whose words fit a path and a revision", () => {
  fc.assert(fc.property(recipes, (recipe) => {
    const text = formatRecipe(recipe);
    assertEquals(parseRecipe(text), recipe);
    assertEquals(encodeURIComponent(text).replaceAll("%40", "@").replaceAll("%2B", "+"), text);
  }));
});

Deno.test("parseRecipe: every way to write a strength is one recipe, in one canonical form", () => {
  const canonical = (text: string) => formatRecipe(parseRecipe(text));
  for (const text of ["poet", "poet@1", "poet@1.0", "poet@01.0000"]) assertEquals(canonical(text), "poet");
  for (const text of ["poet@-0", "poet@0.0", "poet@-00.0000"]) {
    assertEquals(parseRecipe(text), [{ name: "poet", tenThousandths: 0 }]);
    assertEquals(canonical(text), "poet@0");
  }
  assertEquals(canonical("a.b_c-d@-1.2500+a.b_c-d+Poet@99.9999"), "a.b_c-d@-1.25+a.b_c-d+Poet@99.9999");
  assertEquals(["main", "HEAD"].map(canonical), ["main", "main"]);
  assertEquals(parseRecipe("main"), []);
});

Deno.test("strengthOf is the double nearest to the decimal", () => {
  fc.assert(fc.property(fc.integer({ min: -999_999, max: 999_999 }), (tenThousandths) => {
    const digits = String(Math.abs(tenThousandths)).padStart(5, "0");
    const text = `${tenThousandths < 0 ? "-" : ""}${digits.slice(0, -4)}.${digits.slice(-4)}`;
    assertEquals(parseStrength(text), tenThousandths);
    assertEquals(strengthOf({ tenThousandths }), Number(text));
  }));
});

const BAD = [
  ...["", "+", "poet+", "+poet", "poet++brief", "poet@", "poet@@1", "poet@1@2", "@1", "poet brief", "poet/brief"],
  ...["poet@1e3", "poet@.5", "poet@5.", "poet@123", "poet@0.12345", "poet@+1", "poet@--1", "poet@0x1", "poet@NaN"],
  ...["poet@ 1", "poet@1 ", "poet@1\n", "poet@١", "poet@1,5", "main+poet", "poet+main", "poet+HEAD", "main@1"],
  ...[HEX, `${HEX.toUpperCase()}`, `${HEX}@0.5`, ".poet", "-poet", "_poet", "poét", "po\0et", "..", "a".repeat(65)],
  Array.from({ length: 17 }, () => "a").join("+"),
];

for (const text of BAD) {
  Deno.test(`parseRecipe refuses ${JSON.stringify(text).slice(0, 60)}`, () => {
    assertEquals(assertThrows(() => parseRecipe(text), EtherError).code, "bad_recipe");
  });
}

Deno.test("isAdapterId takes names that are near to what is refused", () => {
  for (const id of ["a", "0", "Main", "head", "a".repeat(64), HEX.slice(1), `${HEX}0`, "a..b", "a-"]) {
    assert(isAdapterId(id), id);
  }
});
