/** Many prepared adapters on one device at the same time. */
import { assert, assertEquals } from "@std/assert";
import { prepareApply } from "../../../runtime/apply/prepare_apply.ts";
import { boundOf, drawActivations, matricesOf, MODULE, multiply, worstRatio } from "../apply/activations.ts";
import { buildProblem, type Problem } from "../execute/problem.ts";
import { devicesTest } from "./adapter.ts";

devicesTest(
  "matrices that several calls bring to the device at once do not get into each other's way",
  async (devices) => {
    const problems = [0, 1, 2, 3, 4, 5].map((index): Problem => ({
      ...{ seed: 90 + index, dtype: "BF16", outer: 96 + 64 * index, inner: 64, fanInFanOut: true },
      adapters: [{ variant: "ether", sides: ["in"], layout: "reference", numBlocks: 4 }],
    }));
    const works = await Promise.all(problems.map(async (problem) => {
      const built = await buildProblem(problem);
      const adapters = [{ place: built.storage.place("adapter0") }];
      const request = { base: built.storage.place("base"), adapters, backend: devices };
      return { built, apply: await prepareApply(request, built.storage), x: drawActivations(problem, 3, 64) };
    }));
    const results = await Promise.all(works.map(({ apply, x }) => apply.linear(MODULE, x)));
    for (const [index, { built, apply, x }] of works.entries()) {
      const exact = multiply(matricesOf(built).merged, x);
      const ratio = worstRatio(results[index]!, exact, boundOf(built, x));
      assert(ratio <= 1, `problem ${index}: ${ratio}`);
      await apply.close();
    }
    assertEquals(devices.productCount(), problems.length);
  },
);
