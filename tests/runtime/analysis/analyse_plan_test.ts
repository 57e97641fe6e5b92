/** What is measured of a merge, against plain f64 on dense matrices, and against what the paper says. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { analysePlan, analysisByteLength, type TensorAnalysis } from "../../../runtime/analysis/analyse_plan.ts";
import { pivotedRank } from "../../../runtime/analysis/change_rank.ts";
import { denseBlock } from "../execute/reference.ts";
import { buildProblem, type BuiltProblem, type Problem, type ProblemAdapter, targetOf } from "../execute/problem.ts";

async function analyse(problem: Problem): Promise<{ built: BuiltProblem; found: TensorAnalysis }> {
  const built = await buildProblem(problem);
  let bytes = 0;
  const onBytes = (count: number) => {
    bytes += count;
  };
  const found = await Array.fromAsync(analysePlan(built.plan, { openSource: built.storage.openSource, onBytes }));
  assertEquals([found.length, bytes], [1, analysisByteLength(built.plan)]);
  return { built, found: found[0]! };
}

const adapter = (fields: Partial<ProblemAdapter> = {}): ProblemAdapter => {
  return { variant: "ether", sides: ["in"], layout: "paper", numBlocks: 4, ...fields };
};
const problem = (adapters: readonly ProblemAdapter[], fields: Partial<Problem> = {}): Problem => {
  return { seed: 11, dtype: "F32", outer: 48, inner: 64, adapters, ...fields };
};

const PROBLEMS: Readonly<Record<string, Problem>> = {
  "ETHER in": problem([adapter()]),
  "ETHER in, bf16": problem([adapter()], { dtype: "BF16" }),
  "ETHER out, f16": problem([adapter({ sides: ["out"] })], { dtype: "F16" }),
  "ETHER in, reference": problem([adapter({ layout: "reference" })]),
  "ETHER in, reference, blocks that do not divide the rows": problem([adapter({ layout: "reference", numBlocks: 8 })], {
    outer: 50,
  }),
  "ETHER in, reference, more blocks than rows": problem([adapter({ layout: "reference", numBlocks: 16 })], {
    outer: 6,
  }),
  "ETHER at half strength": problem([adapter({ strength: 0.5 })]),
  "ETHER+ in": problem([adapter({ variant: "etherplus" })]),
  "ETHER+ both, at 0.3": problem([adapter({ variant: "etherplus", sides: ["in", "out"], strength: 0.3 })]),
  "ETHER+ in, reference, tall": problem([adapter({ variant: "etherplus", layout: "reference", numBlocks: 2 })], {
    outer: 400,
  }),
  "ETHER+ blocks of one": problem([adapter({ variant: "etherplus", numBlocks: 64 })]),
  "OFT in": problem([adapter({ variant: "oft", numBlocks: 8 })]),
  "OFT out, odd blocks": problem([adapter({ variant: "oft", sides: ["out"], numBlocks: 16 })]),
  "Conv1D, in": problem([adapter()], { fanInFanOut: true }),
  "Conv1D, ETHER+ both, reference": problem(
    [adapter({ variant: "etherplus", sides: ["in", "out"], layout: "reference" })],
    { fanInFanOut: true },
  ),
  "fused q and v": problem([adapter({ parts: ["q", "v"], sides: ["out"] })], {
    fused: { numHeads: 4, numQueryGroups: 2, headSize: 8, order: "grouped" },
    outer: 64,
  }),
  "two adapters": problem([adapter(), adapter({ variant: "etherplus", sides: ["out"], numBlocks: 2 })]),
  "rows of many scales": problem([adapter()], { weights: "rows of many scales" }),
};

for (const [name, one] of Object.entries(PROBLEMS)) {
  Deno.test(`analysis: ${name}`, async () => {
    const { built, found } = await analyse(one);
    const { base, exact, shape: [rows, columns] } = targetOf(built);
    const change = exact.map((value, at) => value - base[at]!);
    assertEquals([found.out, found.in], [one.outer, one.inner]);

    const relative = normOf(change) / normOf(base);
    assertAlmostEquals(found.relativeNorm!, relative, 1e-5 * relative);
    assertAlmostEquals(found.normRatio!, normOf(exact) / normOf(base), 1e-6);

    const ranked = scaledByNorms(change, base, rows, columns);
    const rank = pivotedRank(ranked, rows, columns, 1e-9);
    assertEquals(found.rank, rank);
    assert(rank <= found.rankBound, `rank ${rank} beyond the bound ${found.rankBound}`);

    const asTorch = (values: Float64Array) => one.fanInFanOut ? transposed(values, rows, columns) : values;
    const [before, after] = [energyOf(asTorch(base), one.inner), energyOf(asTorch(exact), one.inner)];
    assertAlmostEquals(found.energy!.before.value, before, 1e-9 * before);
    assertAlmostEquals(found.energy!.relativeChange.value, after / before - 1, 2e-6);

    for (const side of ["in", "out"] as const) {
      const expected = built.references.flatMap((parts) =>
        [...parts.values()].flatMap((reference) => {
          const own = side === "in" ? reference.input : reference.output;
          return own === null ? [] : [normOf(concatBlocks(reference, own, one, side))];
        })
      );
      const distances = found.sides.filter((of) => of.side === side).map(({ distance }) => distance);
      assertEquals(distances.length, expected.length);
      for (const [i, distance] of distances.entries()) assertAlmostEquals(distance, expected[i]!, 2e-6);
    }
    const profile = found.profile;
    assertEquals([profile.in.length, profile.out.length], [Math.min(64, one.inner), Math.min(64, one.outer)]);
    if (one.inner <= 64) {
      const column = asTorch(change).filter((_, at) => at % one.inner === 0);
      const whole = asTorch(base).filter((_, at) => at % one.inner === 0);
      assertAlmostEquals(profile.in[0]!, normOf(column) / normOf(whole), 1e-5);
    }
  });
}

/** H − I of all blocks of one side. */
function concatBlocks(
  reference: Parameters<typeof denseBlock>[0] & { readonly numBlocks: number },
  side: Parameters<typeof denseBlock>[1],
  { inner }: Problem,
  of: "in" | "out",
): Float64Array {
  const n = reference.variant === "oft"
    ? Math.sqrt(side.u.length / reference.numBlocks)
    : of === "in"
    ? inner / reference.numBlocks
    : side.u.length / reference.numBlocks;
  const values: number[] = [];
  for (let block = 0; block < reference.numBlocks; block++) {
    denseBlock(reference, side, block, n).forEach((value, at) => values.push(value - Number(at % (n + 1) === 0)));
  }
  return Float64Array.from(values);
}

function normOf(values: Float64Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}

/** Each row over the norm of the row of W: its rank is the same, and no row is too small to be seen. */
function scaledByNorms(change: Float64Array, base: Float64Array, rows: number, columns: number): Float64Array {
  const scaled = change.slice();
  for (let row = 0; row < rows; row++) {
    const norm = normOf(base.subarray(row * columns, (row + 1) * columns));
    for (let j = 0; j < columns; j++) scaled[row * columns + j]! /= norm;
  }
  return scaled;
}

function transposed(values: Float64Array, rows: number, columns: number): Float64Array {
  return values.map((_, at) => values[(at % rows) * columns + Math.floor(at / rows)]!);
}

function energyOf(values: Float64Array, length: number): number {
  const units = Array.from({ length: values.length / length }, (_, i) => {
    const row = values.subarray(i * length, (i + 1) * length);
    const norm = normOf(row);
    return row.map((x) => x / norm);
  });
  let energy = 0;
  for (const [i, a] of units.entries()) {
    for (const [j, b] of units.entries()) if (i !== j) energy += 1 / normOf(a.map((x, k) => x - b[k]!));
  }
  return energy;
}

Deno.test("analysis: ETHER is 2√n away from the identity, and changes isotropic weights by 2/√(block length)", async () => {
  for (const numBlocks of [1, 4, 16]) {
    const { found } = await analyse(problem([adapter({ numBlocks })], { outer: 512, inner: 256 }));
    assertAlmostEquals(found.sides[0]!.distance, 2 * Math.sqrt(numBlocks), 1e-12);
    const expected = 2 / Math.sqrt(256 / numBlocks);
    assertAlmostEquals(found.relativeNorm!, expected, 0.1 * expected);
    assertEquals([found.rank, found.rankBound], [numBlocks, numBlocks]);
  }
});

Deno.test("analysis: on the input side ETHER keeps norms in both layouts, and the energy of rows in the paper's only", async () => {
  const shape = { outer: 128, inner: 64 };
  const paper = (await analyse(problem([adapter()], shape))).found;
  const reference = (await analyse(problem([adapter({ layout: "reference" })], shape))).found;
  const out = (await analyse(problem([adapter({ sides: ["out"] })], shape))).found;
  for (const { normRatio } of [paper, reference, out]) assertAlmostEquals(normRatio!, 1, 1e-6);
  const [kept, changed, outside] = [paper, reference, out].map(({ energy }) => Math.abs(energy!.relativeChange.value));
  assert(kept! < 1e-8, `${kept}`);
  assert(changed! > 1e-5 && changed! < 1e-2 && outside! > 1e-5 && outside! < 1e-2, `${changed} ${outside}`);
  const plus = (await analyse(problem([adapter({ variant: "etherplus" })], shape))).found;
  assert(Math.abs(plus.energy!.relativeChange.value) > changed!);
});

Deno.test("analysis: the reference layout reaches a rank of n², and its bound says so", async () => {
  for (const [numBlocks, rank] of [[2, 4], [4, 16], [8, 64]] as const) {
    const made = problem([adapter({ layout: "reference", numBlocks })], { outer: 256, inner: 128 });
    const { found } = await analyse(made);
    assertEquals([found.rank, found.rankBound], [rank, rank]);
  }
});

Deno.test("analysis: u and v of an untrained ETHER+ are one line; elsewhere their angle gives the distance", async () => {
  const untrained = (await analyse(problem([adapter({ variant: "etherplus", untrained: true })]))).found;
  assertEquals(untrained.sides[0]!.angles, { mean: 0, min: 0, max: 0 });
  assertEquals([untrained.rankBound, untrained.rank, untrained.sides[0]!.distance], [0, 0, 0]);
  const one = (await analyse(problem([adapter({ variant: "etherplus", numBlocks: 1 })]))).found.sides[0]!;
  const { mean, min, max } = one.angles!;
  assertEquals([min, max], [mean, mean]);
  assert(mean > 0 && mean <= 90);
  assertAlmostEquals(one.distance, Math.sqrt(2) * Math.sin(mean * Math.PI / 180), 1e-6);
});

Deno.test("analysis: of more than 1,024 columns only the bound is said, and rows are sampled", async () => {
  const { found } = await analyse(problem([adapter()], { outer: 600, inner: 1200, dtype: "BF16" }));
  assertEquals([found.rank, found.rankBound], [null, 4]);
  assert(!found.energy!.exact && found.energy!.neuronCount < 600);
  assert(found.energy!.before.standardError > 0);
  const isotropic = 600 * 599 / Math.SQRT2;
  assertAlmostEquals(found.energy!.before.value, isotropic, 5e-3 * isotropic);
});

Deno.test("analysis: weights that are not finite have no numbers, and nothing breaks", async () => {
  const made = problem([adapter()]);
  const built = await buildProblem(made);
  const bytes = built.base.slice();
  new Float32Array(bytes.buffer)[5] = NaN;
  const broken = await buildProblem(made, bytes);
  const [found] = await Array.fromAsync(analysePlan(broken.plan, { openSource: broken.storage.openSource }));
  assertEquals([found!.relativeNorm, found!.normRatio, found!.rank, found!.energy], [null, null, null, null]);
});

Deno.test("analysis: an aborted signal stops it", async () => {
  const built = await buildProblem(problem([adapter()]));
  const signal = AbortSignal.abort(new Error("enough"));
  const run = Array.fromAsync(analysePlan(built.plan, { openSource: built.storage.openSource, signal }));
  assertEquals(await run.catch((error) => error.message), "enough");
});
