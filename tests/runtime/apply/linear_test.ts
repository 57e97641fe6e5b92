/** y = H̃(W(Hx)) is W'x, with W' as the merge makes it. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { FLOAT_DTYPES } from "../../../runtime/safetensors/dtype.ts";
import { decodeFloat64 } from "../../../fixtures/decode.ts";
import { tolerance } from "../../golden/compare.ts";
import { problems } from "../execute/arbitrary.ts";
import { buildProblem, computeTarget, type Problem, type ProblemAdapter, targetOf } from "../execute/problem.ts";
import { boundOf, drawActivations, linearOf, matricesOf, multiply, transposed, worstRatio } from "./activations.ts";

const TOKENS = 5;
let worst = 0;

Deno.test.afterAll(() => console.log(`linear: the worst at ${worst.toFixed(4)} of its bound`));

/** Against the f64 reference, and against the merge of the same adapters. */
async function check(problem: Problem): Promise<void> {
  const { castTo: _, ...uncast } = problem;
  const built = await buildProblem(uncast);
  const x = drawActivations(uncast, TOKENS, uncast.inner);
  const { merged } = matricesOf(built);
  const y = await linearOf(built, x);
  const bound = boundOf(built, x);
  const ratio = worstRatio(y, multiply(merged, x), bound);
  worst = Math.max(worst, ratio);
  assert(ratio <= 1, `${JSON.stringify(uncast)}: off by ${ratio} times the bound`);

  // The merged weights have been rounded: what each may be off by, times |x|, is added.
  const { outer, inner, fanInFanOut } = uncast;
  const shape = fanInFanOut ? [inner, outer] as const : [outer, inner] as const;
  const asTorch = (stored: Float64Array) => fanInFanOut ? transposed(stored, inner, outer) : stored;
  const stored = decodeFloat64({ dtype: uncast.dtype, shape, bytes: await computeTarget(built) });
  if (!stored.every(Number.isFinite)) return;
  const rounding = multiply({ outer, inner, values: asTorch(tolerance(targetOf(built))) }, x.map(Math.abs));
  const fromMerged = multiply({ outer, inner, values: asTorch(stored) }, x);
  const both = worstRatio(y, fromMerged, bound.map((own, i) => own + rounding[i]!));
  assert(both <= 1, `${JSON.stringify(uncast)}: ${both} times the bound from what the merged weight gives`);
}

/** [outer, inner, numBlocks, what is special]. */
const SHAPES: readonly (readonly [number, number, number, string])[] = [
  [24, 32, 1, "one block"],
  [24, 32, 4, "blocks that divide the rows"],
  [21, 35, 7, "odd lengths"],
  [12, 12, 12, "blocks of one element"],
  [40, 520, 8, "rows longer than a dot's segment"],
];
const UNEVEN: readonly (readonly [number, number, number, string])[] = [
  [10, 32, 4, "blocks that change inside a row"],
  [3, 40, 8, "more blocks than rows"],
  [8, 64, 32, "a mixture's gate"],
  [1, 36, 6, "one row"],
];

for (const variant of ["ether", "etherplus", "oft"] as const) {
  for (const layout of ["paper", "reference"] as const) {
    for (const fanInFanOut of [false, true]) {
      const what = `${variant}, ${layout} layout${fanInFanOut ? ", stored [in, out]" : ""}`;
      Deno.test(`linear of ${what}: every side, shape and dtype within the tolerance`, async () => {
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

for (const order of ["grouped", "concat"] as const) {
  Deno.test(`linear of fused q, k, v, ${order}: any subset of the parts within the tolerance`, async () => {
    for (const [numHeads, numQueryGroups] of [[4, 4], [4, 2], [6, 1]] as const) {
      const fused = { numHeads, numQueryGroups, headSize: 6, order };
      const outer = (numHeads + 2 * numQueryGroups) * fused.headSize;
      for (const parts of [["q"], ["k"], ["q", "v"], ["q", "k", "v"]] as const) {
        for (const variant of ["ether", "etherplus", "oft"] as const) {
          for (const sides of [["in"], ["out"], ["in", "out"]] as const) {
            const adapters: ProblemAdapter[] = [{ variant, sides, layout: "reference", numBlocks: 3, parts }];
            await check({ seed: outer, dtype: "BF16", outer, inner: 27, fused, adapters });
          }
        }
      }
    }
  });
}

Deno.test("linear of a chain whose sides do not commute: within the tolerance", async () => {
  const one = (variant: ProblemAdapter["variant"], side: "in" | "out" | "both", numBlocks: number): ProblemAdapter => {
    return { variant, sides: side === "both" ? ["in", "out"] : [side], layout: "reference", numBlocks };
  };
  const chains: readonly (readonly ProblemAdapter[])[] = [
    [one("ether", "in", 4), one("ether", "out", 1)],
    [one("ether", "out", 1), one("ether", "in", 4)],
    [one("ether", "out", 3), one("etherplus", "in", 20)],
    [one("etherplus", "out", 2), one("oft", "in", 4), one("ether", "out", 3), one("ether", "in", 6)],
    [one("ether", "both", 12), one("ether", "out", 1), one("etherplus", "both", 4)],
  ];
  for (const adapters of chains) {
    for (const fanInFanOut of [false, true]) {
      await check({ seed: 5, dtype: "F32", outer: 156, inner: 60, fanInFanOut, adapters });
    }
  }
  const fused = { numHeads: 4, numQueryGroups: 2, headSize: 6, order: "grouped" } as const;
  const parts: readonly ProblemAdapter[] = [
    { variant: "ether", sides: ["in"], layout: "reference", numBlocks: 3, parts: ["q", "v"] },
    { variant: "ether", sides: ["out"], layout: "reference", numBlocks: 4, parts: ["q", "k", "v"] },
    { variant: "ether", sides: ["in"], layout: "reference", numBlocks: 9, parts: ["v"] },
  ];
  await check({ seed: 6, dtype: "F32", outer: 48, inner: 27, fused, adapters: parts });
});

Deno.test("linear of any problem: what the merged weight gives, within the tolerance", async () => {
  await fc.assert(fc.asyncProperty(problems, check), { numRuns: 600, seed: 240520271 });
});

Deno.test("linear without adapters: the base", async () => {
  const problem: Problem = { seed: 3, dtype: "BF16", outer: 20, inner: 24, adapters: [] };
  await check(problem);
  assertEquals((await linearOf(await buildProblem(problem), new Float32Array())).length, 0);
});
