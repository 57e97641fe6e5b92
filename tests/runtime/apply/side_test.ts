/** x ← Hx and y ← H̃y, with a base and without. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { EtherError } from "../../../runtime/error.ts";
import { prepareApply } from "../../../runtime/apply/prepare_apply.ts";
import { buildProblem, type BuiltProblem, type Problem, type ProblemAdapter } from "../execute/problem.ts";
import { type ReferenceAdapter, transformReference } from "../execute/reference.ts";
import { applyProblem, chunkNorms, drawActivations, MODULE, transposed, worstRatio } from "./activations.ts";

const TOKENS = 6;

/** Adapters alone. */
function applyAlone({ problem, storage }: BuiltProblem) {
  const adapters = problem.adapters.map((_, index) => ({ place: storage.place(`adapter${index}`) }));
  return prepareApply({ adapters }, storage);
}

/** One side of a problem in f64: tokens as the columns of a matrix, from whose left H and H̃ act. */
function exactSide({ references }: BuiltProblem, side: "in" | "out", x: Float32Array, dimension: number): Float64Array {
  const tokenCount = x.length / dimension;
  let columns = transposed(Float64Array.from(x), tokenCount, dimension);
  for (const adapters of side === "in" ? references.toReversed() : references) {
    const reference = adapters.get("")!;
    const own = side === "in" ? reference.input : reference.output;
    if (own === null) continue;
    const fromLeft: ReferenceAdapter = { ...reference, input: null, output: own };
    columns = transformReference(columns, [dimension, tokenCount], fromLeft);
  }
  return transposed(columns, dimension, tokenCount);
}

const CHAINS: readonly (readonly ProblemAdapter[])[] = [
  [{ variant: "ether", sides: ["in", "out"], layout: "paper", numBlocks: 4 }],
  [{ variant: "ether", sides: ["in", "out"], layout: "paper", numBlocks: 4, strength: 0.3, dtype: "BF16" }],
  [{ variant: "etherplus", sides: ["in", "out"], layout: "reference", numBlocks: 1 }],
  [{ variant: "etherplus", sides: ["in"], layout: "paper", numBlocks: 12, strength: -0.5 }],
  [{ variant: "oft", sides: ["in", "out"], layout: "paper", numBlocks: 3 }],
  [{ variant: "oft", sides: ["out"], layout: "reference", numBlocks: 6, dtype: "F16" }],
  [
    { variant: "ether", sides: ["in", "out"], layout: "paper", numBlocks: 3 },
    { variant: "oft", sides: ["in", "out"], layout: "paper", numBlocks: 2 },
    { variant: "etherplus", sides: ["in"], layout: "paper", numBlocks: 6 },
  ],
];

for (const fanInFanOut of [false, true]) {
  for (const adapters of CHAINS) {
    const names = adapters.map(({ variant, sides, strength = 1 }) => `${variant} ${sides.join("+")} at ${strength}`);
    Deno.test(`in and out of ${names.join(", ")}${fanInFanOut ? ", stored [in, out]" : ""}: H in f64`, async () => {
      const problem: Problem = { seed: 41, dtype: "F32", outer: 60, inner: 36, fanInFanOut, adapters };
      const built = await buildProblem(problem);
      await using apply = await applyProblem(built);
      await using alone = await applyAlone(built);
      for (const side of ["in", "out"] as const) {
        const dimension = side === "in" ? problem.inner : problem.outer;
        const x = drawActivations(problem, TOKENS, dimension);
        const got = await apply[side](MODULE, x);
        const bound = chunkNorms(Float64Array.from(x, Math.abs), dimension, 1).map((norm) => {
          return adapters.length * 8 * 2 ** -24 * norm;
        });
        const ratio = worstRatio(got, exactSide(built, side, x, dimension), bound);
        assert(ratio <= 1, `${side}: off by ${ratio} times the bound`);
        assertEquals(await alone[side](MODULE, x), got, side);
        assertEquals(await alone[side](MODULE.replace(/^model\./, ""), x), got, side);
      }
    });
  }
}

for (const order of ["grouped", "concat"] as const) {
  Deno.test(`out of a fused matrix, ${order}: each part's H on its own features`, async () => {
    const fused = { numHeads: 4, numQueryGroups: 2, headSize: 6, order };
    const adapters: ProblemAdapter[] = [
      { variant: "ether", sides: ["out"], layout: "paper", numBlocks: 3, parts: ["q", "v"] },
      { variant: "oft", sides: ["out"], layout: "paper", numBlocks: 2, parts: ["v", "k"] },
    ];
    const problem: Problem = { seed: 43, dtype: "F32", outer: 48, inner: 20, fused, adapters };
    const built = await buildProblem(problem);
    await using apply = await applyProblem(built);
    await using alone = await applyAlone(built);
    const y = drawActivations(problem, TOKENS, problem.outer);
    // W = I brings H̃ to light: y ← H̃y is y times the merged identity.
    const identity = Float32Array.from({ length: 48 * 48 }, (_, at) => at % 49 === 0 ? 1 : 0);
    const square = await buildProblem({ ...problem, inner: 48 }, new Uint8Array(identity.buffer));
    await using layer = await applyProblem(square);
    // Other draws: the adapters are those of the first problem.
    for (const index of [0, 1]) {
      for (const name of ["adapter_model.safetensors", "adapter_config.json"]) {
        square.storage.set(`adapter${index}/${name}`, built.storage.get(`adapter${index}/${name}`));
      }
    }
    await using same = await applyProblem(square);
    const got = await apply.out(MODULE, y);
    assertEquals(await alone.out(MODULE, y), got);
    assertEquals(await same.linear(MODULE, y), got);
    assert((await layer.linear(MODULE, y)).some((value, i) => value !== y[i]));
    assert(got.some((value, i) => value !== y[i]));
  });
}

Deno.test("in, where Hx differs between output features: refused, and linear is the hint", async () => {
  const flat = await buildProblem({
    ...{ seed: 44, dtype: "F32", outer: 24, inner: 24 },
    adapters: [{ variant: "ether", sides: ["in", "out"], layout: "reference", numBlocks: 4 }],
  });
  const fused = await buildProblem({
    ...{ seed: 45, dtype: "F32", outer: 48, inner: 24 },
    fused: { numHeads: 4, numQueryGroups: 2, headSize: 6, order: "concat" },
    adapters: [{ variant: "ether", sides: ["in"], layout: "paper", numBlocks: 4, parts: ["q"] }],
  });
  for (const built of [flat, fused]) {
    for (const apply of [await applyProblem(built), await applyAlone(built)]) {
      const error = await assertRejects(() => apply.in(MODULE, new Float32Array(24)), EtherError);
      assertEquals([error.code, error.hint], ["unsupported", "use linear"]);
      // Tokens that do not go through that adapter are none of its business.
      assertEquals(await apply.in(MODULE, new Float32Array(24).fill(2), { rows: [-1] }), new Float32Array(24).fill(2));
      assertEquals((await apply.out(MODULE, new Float32Array(built.problem.outer))).length, built.problem.outer);
      await apply.close();
    }
  }
});

Deno.test("a side on which no adapter acts: the activations, as a copy", async () => {
  const built = await buildProblem({
    ...{ seed: 46, dtype: "F32", outer: 24, inner: 36 },
    adapters: [{ variant: "ether", sides: ["in"], layout: "paper", numBlocks: 4 }],
  });
  const y = Float32Array.of(...Array.from({ length: 48 }, (_, i) => i));
  for (const apply of [await applyProblem(built), await applyAlone(built)]) {
    const got = await apply.out(MODULE, y, { rows: [0, -1] });
    assertEquals(got, y);
    assert(got !== y);
    await apply.close();
  }
});

Deno.test("adapters at strength 0: every side is the identity", async () => {
  const built = await buildProblem({
    ...{ seed: 47, dtype: "F32", outer: 24, inner: 36 },
    adapters: [{ variant: "etherplus", sides: ["in", "out"], layout: "paper", numBlocks: 4, strength: 0 }],
  });
  const x = drawActivations(built.problem, 2, 36);
  for (const apply of [await applyProblem(built), await applyAlone(built)]) {
    assertEquals(await apply.in(MODULE, x), x);
    await apply.close();
  }
});
