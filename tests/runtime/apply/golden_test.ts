/** Every golden case, also those that have no activations of their own: linear is the exact merged matrix times x. */
import { assertEquals } from "@std/assert";
import { decodeFloat64 } from "../../../fixtures/decode.ts";
import { moduleOf, prepareCase } from "../../golden/apply_case.ts";
import { goldenCases, readGolden } from "../../golden/cases.ts";
import { drawActivation, outputBeyondBound } from "../../golden/drawn_activation.ts";

const TOKENS = 3;

for (const golden of goldenCases.filter(({ error }) => error === undefined)) {
  Deno.test(`golden ${golden.name}: linear of every target`, async () => {
    await using apply = await prepareCase(golden);
    const { base, targets } = await readGolden(golden);
    for (const [name, target] of targets) {
      const bias = base.get(name.replace(/weight$/, "bias"));
      const drawn = drawActivation(target, TOKENS, bias && decodeFloat64(bias));
      assertEquals(outputBeyondBound(await apply.linear(moduleOf(name), drawn.x), drawn), undefined, name);
    }
  });
}
