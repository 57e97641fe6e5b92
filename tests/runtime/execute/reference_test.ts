/** The real path, from files to bytes, against dense blocks in f64: no element may be beyond the project's tolerance. */
import fc from "fast-check";
import { FLOAT_DTYPES, type FloatDtype } from "../../../runtime/safetensors/dtype.ts";
import { assertWithinTolerance } from "../../golden/compare.ts";
import { problems } from "./arbitrary.ts";
import { compareProblem, type Problem, type ProblemAdapter } from "./problem.ts";

const worst = new Map<FloatDtype, { ratio: number; problem: Problem }>();

async function check(problem: Problem): Promise<void> {
  const comparison = await compareProblem(problem);
  const dtype = problem.castTo ?? problem.dtype;
  if (comparison.worstRatio > (worst.get(dtype)?.ratio ?? 0)) {
    worst.set(dtype, { ratio: comparison.worstRatio, problem });
  }
  assertWithinTolerance(JSON.stringify(problem), comparison);
}

Deno.test.afterAll(() => {
  for (const [dtype, { ratio }] of worst) {
    console.log(`reference ${dtype}: the worst at ${ratio.toFixed(4)} of its bound`);
  }
});

/** [outer, inner, numBlocks, what is special]. Rows and columns for the reference layout's arithmetic above all. */
const SHAPES: readonly (readonly [number, number, number, string])[] = [
  [24, 32, 1, "one block"],
  [24, 32, 4, "blocks that divide the rows"],
  [21, 35, 7, "odd lengths"],
  [12, 12, 12, "blocks of one element"],
  [40, 520, 8, "rows longer than a dot's segment"],
  [130, 26, 2, "more rows than a sum's segment"],
];
const UNEVEN: readonly (readonly [number, number, number, string])[] = [
  [10, 32, 4, "blocks that change inside a row"],
  [3, 40, 8, "more blocks than rows"],
  [8, 64, 32, "a mixture's gate"],
  [7, 15, 15, "more blocks than rows, of one element"],
  [1, 36, 6, "one row"],
];

for (const variant of ["ether", "etherplus", "oft"] as const) {
  for (const layout of ["paper", "reference"] as const) {
    for (const fanInFanOut of [false, true]) {
      const what = `${variant}, ${layout} layout${fanInFanOut ? ", stored [in, out]" : ""}`;
      Deno.test(`merge of ${what}: every side, shape and dtype within the tolerance`, async () => {
        for (const sides of [["in"], ["out"], ["in", "out"]] as const) {
          for (
            const [outer, inner, numBlocks] of sides.length === 1 && sides[0] === "in" ? [...SHAPES, ...UNEVEN] : SHAPES
          ) {
            if (sides.some((side) => (side === "in" ? inner : outer) % numBlocks !== 0)) continue;
            for (const dtype of FLOAT_DTYPES) {
              const adapters: ProblemAdapter[] = [{ variant, sides, layout, numBlocks }];
              await check({ seed: outer * inner + numBlocks, dtype, outer, inner, fanInFanOut, adapters });
            }
          }
        }
      });
    }
  }
}

for (const strength of [0.3, 1, -0.5, 2]) {
  Deno.test(`merge at strength ${strength}: ETHER and ETHER+ on every side within the tolerance`, async () => {
    for (const variant of ["ether", "etherplus"] as const) {
      for (const sides of [["in"], ["out"], ["in", "out"]] as const) {
        for (const dtype of FLOAT_DTYPES) {
          const adapters: ProblemAdapter[] = [{ variant, sides, layout: "reference", numBlocks: 4, strength }];
          await check({ seed: 77, dtype, outer: 36, inner: 52, adapters });
        }
      }
    }
  });
}

for (const order of ["grouped", "concat"] as const) {
  Deno.test(`merge of fused q, k, v, ${order}: any subset of the parts within the tolerance`, async () => {
    for (const [numHeads, numQueryGroups] of [[4, 4], [4, 2], [6, 1]] as const) {
      const fused = { numHeads, numQueryGroups, headSize: 6, order };
      const outer = (numHeads + 2 * numQueryGroups) * fused.headSize;
      for (const parts of [["q"], ["k"], ["v"], ["q", "v"], ["k", "v"], ["q", "k", "v"]] as const) {
        for (const variant of ["ether", "etherplus", "oft"] as const) {
          for (const sides of [["in"], ["out"], ["in", "out"]] as const) {
            const adapters: ProblemAdapter[] = [{ variant, sides, layout: "reference", numBlocks: 3, parts }];
            await check({ seed: outer, dtype: "BF16", outer, inner: 27, fused, adapters });
            await check({ seed: outer, dtype: "F32", outer, inner: 27, fused, adapters });
          }
        }
      }
    }
  });
}

Deno.test("merge of a chain: sides, variants and counts of blocks mixed, rounded once, within the tolerance", async () => {
  const chains: readonly (readonly ProblemAdapter[])[] = [
    [adapter("ether", "in", 4), adapter("ether", "out", 3)],
    [adapter("ether", "out", 4), adapter("etherplus", "out", 6)],
    [adapter("etherplus", "both", 12), adapter("ether", "out", 1), adapter("etherplus", "both", 4)],
    [adapter("oft", "out", 4), adapter("ether", "out", 6)],
    [adapter("ether", "out", 1), adapter("oft", "out", 4), adapter("oft", "out", 6)],
    [adapter("oft", "both", 2), adapter("oft", "in", 12), adapter("etherplus", "out", 3)],
  ];
  for (const adapters of chains) {
    for (const dtype of FLOAT_DTYPES) {
      for (const fanInFanOut of [false, true]) {
        await check({ seed: 5, dtype, outer: 156, inner: 60, fanInFanOut, adapters });
      }
    }
  }
});

function adapter(variant: ProblemAdapter["variant"], side: "in" | "out" | "both", numBlocks: number): ProblemAdapter {
  return { variant, sides: side === "both" ? ["in", "out"] : [side], layout: "reference", numBlocks };
}

Deno.test("merge with a cast: from every dtype to every dtype within the tolerance of the new one", async () => {
  for (const dtype of FLOAT_DTYPES) {
    for (const castTo of FLOAT_DTYPES) {
      for (const side of ["in", "out", "both"] as const) {
        await check({ seed: 9, dtype, castTo, outer: 40, inner: 44, adapters: [adapter("etherplus", side, 4)] });
      }
    }
  }
});

Deno.test("merge of any problem: every element within the tolerance", async () => {
  await fc.assert(fc.asyncProperty(problems, check), { numRuns: 2000, seed: 240520271 });
});
