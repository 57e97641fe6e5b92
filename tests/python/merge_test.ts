/** Whole merges against a second implementation: torch, in float64, with dense blocks. */
import { assert, assertEquals } from "@std/assert";
import { LLAMA, LLAMA_ADAPTERS, mergeFixture, mergeFolders, temporaryRoot } from "../fixtures/merge_fixture.ts";
import { pythonTest, runPython } from "./python.ts";

interface MergeComparison {
  targets: Record<string, { elements: number; correctly_rounded: number; worst_ratio: number }>;
  untouched: number;
  changed: string[];
}

async function assertMerged(base: string, adapter: string, merged: string, targetCount: number): Promise<void> {
  const result = await runPython<MergeComparison>("compare_merge.py", { base, adapter, merged });
  assertEquals(Object.keys(result.targets).length, targetCount);
  assertEquals(result.changed, []);
  for (const [name, { worst_ratio }] of Object.entries(result.targets)) {
    assert(worst_ratio <= 1, `${name}: the worst element is off by ${worst_ratio} times its bound`);
  }
}

for (const adapter of LLAMA_ADAPTERS) {
  const targetCount: number = JSON.parse(await Deno.readTextFile(`${LLAMA}/expected.json`))[adapter].changed_tensors;
  for (const flags of [[], ["--dtype", "f16"], ["--dtype", "f32"]]) {
    pythonTest(
      `merge: ${["the base with", adapter, ...flags].join(" ")} is what torch computes in float64`,
      async () => {
        const merged = await mergeFixture(adapter, ...flags);
        await assertMerged(`${LLAMA}/base`, `${LLAMA}/${adapter}`, merged, targetCount);
      },
    );
  }
}

pythonTest("merge: a head untied from its embedding is what torch computes, and transformers loads both", async () => {
  const base = `${temporaryRoot()}/tied`;
  const adapter = `${temporaryRoot()}/head`;
  await runPython("make_tied_model.py", { model: base, adapter });
  const merged = await mergeFolders({ base, adapter, flags: ["--untie"] });
  await assertMerged(base, adapter, merged, 1);
  const loaded = await runPython<{ missing: string[]; unexpected: string[]; tied: boolean; wasTied: boolean }>(
    "load_untied.py",
    { base, merged },
  );
  assertEquals(loaded, { missing: [], unexpected: [], tied: false, wasTied: true });
});
