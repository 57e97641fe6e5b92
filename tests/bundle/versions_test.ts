/** What is bundled are the versions that everything else is tested with. */
import { assert, assertEquals } from "../../testing/assert.ts";
import root from "../../deno.json" with { type: "json" };
import own from "../../tasks/bundle/deno.json" with { type: "json" };

Deno.test("tasks/bundle/deno.json: shared packages have the versions of deno.json", () => {
  const known: Readonly<Record<string, string>> = root.imports;
  const shared = Object.entries(own.imports).filter(([name]) => name in known);
  assert(shared.length > 4);
  for (const [name, specifier] of shared) assertEquals(specifier, known[name], name);
});
