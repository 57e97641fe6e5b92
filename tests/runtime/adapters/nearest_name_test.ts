import { assertEquals } from "@std/assert";
import { nearestName } from "../../../runtime/adapters/nearest_name.ts";

const NAMES = ["model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.down_proj.weight", "lm_head.weight"];

const CASES: readonly (readonly [name: string, nearest: string | null])[] = [
  ["model.layers.0.mlp.up_prj.weight", NAMES[0]!],
  ["model.layers.0.mlp.dwn_proj.weight", NAMES[1]!],
  ["layers.0.mlp.up_proj.weight", NAMES[0]!],
  ["lm_heat.weight", NAMES[2]!],
  ["something.else.altogether", null],
  ["", null],
];

for (const [name, nearest] of CASES) {
  Deno.test(`nearestName: ${JSON.stringify(name)} → ${nearest}`, () => assertEquals(nearestName(name, NAMES), nearest));
}

Deno.test("nearestName compares neither a hostile name nor a hostile list to the end", () => {
  const long = Array.from({ length: 100_000 }, (_, i) => `${i}${"a".repeat(280)}`);
  assertEquals(nearestName("a".repeat(301), [`${"a".repeat(300)}b`]), null);
  nearestName("b".repeat(290), long);
});
