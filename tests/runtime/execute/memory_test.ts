/** What a plan is said to take of a kernel's memory, against what it takes. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { EtherError } from "../../../runtime/error.ts";
import { spanByteLength, TILE_BYTES, tileByteLengthWithin, workerByteLength } from "../../../runtime/execute/memory.ts";
import type { Kernel } from "../../../runtime/kernel/kernel.ts";
import { problems } from "./arbitrary.ts";
import { buildProblem, computeFile, type Problem, sharedKernel, targetSpan } from "./problem.ts";

/** A kernel that notes how far its memory was asked for. */
function measured(kernel: Kernel): Kernel & { taken: number } {
  return new Proxy(Object.assign(Object.create(null), { taken: 0 }), {
    get(own, name) {
      if (name === "taken") return own.taken;
      if (name === "reserve") {
        return (end: number) => {
          own.taken = Math.max(own.taken, end - kernel.base);
          kernel.reserve(end);
        };
      }
      const value = Reflect.get(kernel, name);
      return typeof value === "function" ? value.bind(kernel) : value;
    },
  });
}

async function taken(problem: Problem, tileByteLength: number, range?: readonly [number, number]) {
  const built = await buildProblem(problem);
  const span = targetSpan(built);
  // Only the target's bytes: the header is copied, in blocks of a megabyte at most.
  const [start, end] = range ?? [0, span.byteLength];
  const kernel = measured(sharedKernel());
  await computeFile(built, { tileByteLength, kernel, range: [span.offset + start, span.offset + end] });
  return { taken: kernel.taken, claimed: spanByteLength(span, tileByteLength) };
}

const LARGE: readonly Problem[] = [
  ...(["F32", "BF16"] as const).flatMap((dtype) =>
    ([undefined, "F32"] as const).flatMap((castTo) =>
      ([1, 2, 7, 40] as const).map((numBlocks): Problem => ({
        ...{ seed: 41, dtype, outer: 840, inner: 1120 },
        ...castTo === undefined ? {} : { castTo },
        adapters: [{ variant: "etherplus", sides: ["in", "out"], layout: "paper", numBlocks }],
      }))
    )
  ),
  {
    ...{ seed: 42, dtype: "BF16", outer: 840, inner: 1120 },
    adapters: [
      { variant: "ether", sides: ["out"], layout: "paper", numBlocks: 1 },
      { variant: "etherplus", sides: ["out"], layout: "paper", numBlocks: 2 },
      { variant: "ether", sides: ["out"], layout: "paper", numBlocks: 3 },
    ],
  },
  {
    ...{ seed: 43, dtype: "F16", outer: 840, inner: 1120 },
    adapters: [
      { variant: "oft", sides: ["out"], layout: "paper", numBlocks: 56 },
      { variant: "oft", sides: ["out"], layout: "paper", numBlocks: 60 },
    ],
  },
  {
    ...{
      seed: 44,
      dtype: "BF16",
      outer: 800,
      inner: 1500,
      fused: { numHeads: 6, numQueryGroups: 2, headSize: 80, order: "grouped" },
    },
    adapters: [{ variant: "oft", sides: ["out"], layout: "paper", numBlocks: 1 }],
  },
];

for (const problem of LARGE) {
  const { dtype, castTo = dtype, adapters } = problem;
  const what = adapters.map(({ variant, numBlocks }) => `${variant} ${numBlocks}`).join(", ");
  Deno.test(`spanByteLength (${dtype} to ${castTo}, ${what}): the kernel's memory stays below it`, async () => {
    for (const tileByteLength of [4096, 65536, TILE_BYTES]) {
      const measure = await taken(problem, tileByteLength);
      assert(measure.taken <= measure.claimed, `${measure.taken} of ${measure.claimed}, tiles of ${tileByteLength}`);
    }
  });
}

Deno.test("spanByteLength: a range that begins anywhere takes no more", async () => {
  const starts = fc.nat({ max: 3_000_000 });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...LARGE),
      starts,
      fc.constantFrom(4096, 65536, TILE_BYTES),
      async (problem, a, tile) => {
        const size = problem.outer * problem.inner * ((problem.castTo ?? problem.dtype) === "F32" ? 4 : 2);
        const start = a % size;
        const measure = await taken(problem, tile, [start, Math.min(size, start + 200_000)]);
        assert(measure.taken <= measure.claimed, `${measure.taken} of ${measure.claimed}`);
      },
    ),
    { numRuns: 15 },
  );
});

Deno.test("spanByteLength: it never says less than what any small problem takes", async () => {
  await fc.assert(
    fc.asyncProperty(problems, async (problem) => {
      const measure = await taken(problem, 4096);
      assert(measure.taken <= measure.claimed, `${measure.taken} of ${measure.claimed}`);
    }),
    { numRuns: 200 },
  );
});

Deno.test("tileByteLengthWithin: the largest tile that keeps all workers within the bound", async () => {
  const { plan } = await buildProblem(LARGE[0]!);
  assertEquals(tileByteLengthWithin(plan, 2, 1 << 30), TILE_BYTES);
  for (const workers of [1, 2, 4]) {
    for (const bound of [5 << 20, 9 << 20, 12 << 20]) {
      const tile = tileByteLengthWithin(plan, workers, bound);
      assert(workers * workerByteLength(plan, tile) <= bound);
      assert(tile === TILE_BYTES || workers * workerByteLength(plan, 2 * tile) > bound);
    }
  }
  const error = assertThrows(() => tileByteLengthWithin(plan, 2, 1000), EtherError);
  assertEquals([error.code, error.field], ["usage", "--max-memory"]);
});
