/** What the mathematics promises of a whole merge. */
import { assert, assertEquals } from "@std/assert";
import { FLOAT_DTYPES, type FloatDtype } from "../../../runtime/safetensors/dtype.ts";
import { decodeFloat64 } from "../../../fixtures/decode.ts";
import { roundTo } from "../../golden/rounding.ts";
import { assertWithinTolerance, compareTensor, tolerance } from "../../golden/compare.ts";
import { buildProblem, computeFile, computeTarget, type Problem, type ProblemAdapter, targetOf } from "./problem.ts";

const SHAPE = { outer: 48, inner: 60 };
const ETHERS: readonly ProblemAdapter[] = [
  { variant: "ether", sides: ["in"], layout: "paper", numBlocks: 4 },
  { variant: "ether", sides: ["in"], layout: "reference", numBlocks: 5 },
  { variant: "ether", sides: ["out"], layout: "paper", numBlocks: 3 },
  { variant: "ether", sides: ["in", "out"], layout: "reference", numBlocks: 12 },
];

function values(dtype: FloatDtype, bytes: Uint8Array<ArrayBuffer>): Float64Array {
  return decodeFloat64({ dtype, shape: [SHAPE.outer, SHAPE.inner], bytes });
}

Deno.test("merge twice, ETHER at strength 1: the base again, within one rounding for each merge", async () => {
  for (const adapter of ETHERS) {
    for (const dtype of FLOAT_DTYPES) {
      for (const fanInFanOut of [false, true]) {
        const problem: Problem = { seed: 21, dtype, ...SHAPE, fanInFanOut, adapters: [adapter] };
        const once = await buildProblem(problem);
        const merged = await computeTarget(once);
        const twice = await buildProblem(problem, merged);
        const got = await computeTarget(twice);
        const base = values(dtype, once.base);
        const error = norm(values(dtype, got).map((x, i) => x - base[i]!));
        // A reflection keeps lengths: what the first merge was off by, it is still off by after the second.
        const bound = norm(tolerance(targetOf(once))) + norm(tolerance(targetOf(twice)));
        assert(error <= bound, `${JSON.stringify(problem)}: off by ${error}, more than ${bound}`);
      }
    }
  }
});

Deno.test("merge of a chain of the same reflection twice: the base, but for f32", async () => {
  for (const adapter of ETHERS) {
    for (const dtype of ["F16", "BF16"] as const) {
      const built = await buildProblem({ seed: 22, dtype, ...SHAPE, adapters: [adapter] });
      // The same adapter in both places: one plan's stages, doubled.
      const [file] = built.plan.files;
      const spans = file!.spans.map((span) =>
        span.kind === "tensor" ? { ...span, stages: [...span.stages, ...span.stages] } : span
      );
      const plan = { ...built.plan, files: [{ ...file!, spans }] };
      const got = values(dtype, (await computeFile({ ...built, plan })).slice(-built.base.byteLength));
      const base = values(dtype, built.base);
      const off = got.filter((x, i) => x !== base[i]).length;
      assert(off < got.length / 100, `${off} of ${got.length} elements differ for ${JSON.stringify(adapter)}`);
    }
  }
});

Deno.test("merge at strength 0: the tensor is copied, byte for byte", async () => {
  for (const adapter of ETHERS) {
    const built = await buildProblem({ seed: 23, dtype: "BF16", ...SHAPE, adapters: [{ ...adapter, strength: 0 }] });
    assertEquals(built.plan.files[0]!.spans.map(({ kind }) => kind), ["copy"]);
    assertEquals(await computeTarget(built), built.base);
    assertEquals(built.plan.transformed, []);
  }
});

Deno.test("merge of untrained ETHER+ (v = −u): the base's bytes, and a warning", async () => {
  for (const sides of [["in"], ["out"], ["in", "out"]] as const) {
    for (const layout of ["paper", "reference"] as const) {
      for (const dtype of FLOAT_DTYPES) {
        const adapter: ProblemAdapter = { variant: "etherplus", sides, layout, numBlocks: 12, untrained: true };
        const built = await buildProblem({ seed: 24, dtype, ...SHAPE, adapters: [adapter] });
        assertEquals(await computeTarget(built), built.base, `${sides} ${layout} ${dtype}`);
        assertEquals(built.plan.warnings.length, 1);
        const trained = await buildProblem({ seed: 24, dtype, ...SHAPE, adapters: [{ ...adapter, untrained: false }] });
        assertEquals(trained.plan.warnings, []);
        assert((await computeTarget(trained)).some((byte, i) => byte !== built.base[i]));
      }
    }
  }
});

Deno.test("merge of in-side ETHER: every row keeps its length, in both layouts", async () => {
  for (const layout of ["paper", "reference"] as const) {
    for (const numBlocks of [1, 4, 5, 60]) {
      const adapters: ProblemAdapter[] = [{ variant: "ether", sides: ["in"], layout, numBlocks }];
      const built = await buildProblem({ seed: 25, dtype: "F32", ...SHAPE, adapters });
      const before = values("F32", built.base);
      const after = values("F32", await computeTarget(built));
      for (let row = 0; row < SHAPE.outer; row++) {
        const own = [row * SHAPE.inner, (row + 1) * SHAPE.inner] as const;
        const [length, kept] = [norm(before.subarray(...own)), norm(after.subarray(...own))];
        assert(Math.abs(kept / length - 1) < 4e-7, `row ${row}: ${kept} instead of ${length}`);
      }
    }
  }
});

Deno.test("merge into F16: a result beyond 65504 is an infinity, with its sign", async () => {
  const problem: Problem = {
    ...{ seed: 26, dtype: "F16", ...SHAPE },
    adapters: [{ variant: "etherplus", sides: ["in", "out"], layout: "paper", numBlocks: 1 }],
  };
  const large = new Float64Array(SHAPE.outer * SHAPE.inner).map((_, i) =>
    (i % 3 === 0 ? -1 : 1) * (40_000 + 8 * (i % 99))
  );
  const built = await buildProblem(problem, new Uint8Array(Float16Array.from(large).buffer));
  const target = targetOf(built);
  const rounded = target.exact.map((x) => roundTo("F16", x));
  assert(rounded.includes(Infinity) && rounded.includes(-Infinity) && rounded.some(Number.isFinite));
  assertWithinTolerance("F16", compareTensor(await computeTarget(built), target));
});

function norm(vector: Float64Array): number {
  return Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
}
