/** A merged folder is a model like any other: transformers loads it as it does the base, and it predicts as it should. */
import { assertAlmostEquals, assertEquals, assertNotEquals } from "@std/assert";
import { LLAMA, LLAMA_ADAPTERS, mergeFixture } from "../fixtures/merge_fixture.ts";
import { pythonTest, runPython } from "./python.ts";

interface LoadedModel {
  missing: string[];
  unexpected: string[];
  mismatched: string[];
  parameters: Record<string, number[]>;
  digest: string;
  sample: number[];
  tied: boolean;
  loss: number;
}

const expected = JSON.parse(await Deno.readTextFile(`${LLAMA}/expected.json`));

async function load(folder: string): Promise<LoadedModel> {
  const argument = {
    folders: [folder],
    heldout: `${LLAMA}/heldout.safetensors`,
    text: "code",
    windows: 8,
    sample: "def merge(base, adapter):\n    return base",
  };
  return (await runPython<LoadedModel[]>("load_models.py", argument))[0]!;
}

let base: Promise<LoadedModel> | undefined;

pythonTest("transformers: the base loads without a missing key and predicts as expected", async () => {
  const model = await (base ??= load(`${LLAMA}/base`));
  assertEquals([model.missing, model.unexpected, model.mismatched], [[], [], []]);
  assertAlmostEquals(model.loss, expected.base.code_first_8, 0.002);
});

for (const adapter of LLAMA_ADAPTERS) {
  pythonTest(
    `transformers: the base merged with ${adapter} loads as the base does and predicts as expected`,
    async () => {
      const { loss: baseLoss, digest: baseDigest, ...likeBase } = await (base ??= load(`${LLAMA}/base`));
      const { loss, digest, ...loaded } = await load(await mergeFixture(adapter));
      assertEquals(loaded, likeBase);
      assertNotEquals(digest, baseDigest);
      assertAlmostEquals(loss, expected[adapter].code_first_8, 0.002);
      assertEquals(loss < baseLoss, true);
    },
  );
}
