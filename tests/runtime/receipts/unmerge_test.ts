/** Undoing a merge: the base within the roundings, the base to the bit with a receipt, or a refusal. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { decodeFloat64 } from "../../../fixtures/decode.ts";
import { prepareMerge, prepareUnmerge, streamMerged } from "../../../runtime/deno/library.ts";
import { mergeToFolder } from "../../../runtime/deno/merge_folder.ts";
import { EtherError } from "../../../runtime/error.ts";
import { mergeTo } from "../../../runtime/execute/merge_to.ts";
import type { Progress } from "../../../runtime/execute/progress.ts";
import { FLOAT_DTYPES } from "../../../runtime/safetensors/dtype.ts";
import { NO_INVERSE } from "../../../runtime/methods/method.ts";
import { MAX_AMPLIFICATION } from "../../../runtime/plans/check_invertible.ts";
import { tolerance } from "../../golden/compare.ts";
import { elements, Random } from "../kernel/arbitrary.ts";
import { problems } from "../execute/arbitrary.ts";
import { MemoryOutput } from "../execute/memory_output.ts";
import {
  buildProblem,
  type BuiltProblem,
  computeFile,
  type Problem,
  type ProblemAdapter,
  targetOf,
} from "../execute/problem.ts";
import type { ReferenceSide } from "../execute/reference.ts";
import { mergeWithReceipt, planUndo } from "./memory_merge.ts";

/** Problems whose merge keeps its dtype. */
const uncast = problems.map(({ castTo: _, ...problem }): Problem => problem);

/** How much undoing a problem enlarges a rounding error, by way of every block's singular values; and its worst block. */
function conditionOf({ problem, references }: BuiltProblem): { product: number; ofBlock: number } {
  let product = 1;
  let ofBlock = 1;
  for (const [index, parts] of references.entries()) {
    const { variant, numBlocks, strength = 1 } = problem.adapters[index]!;
    const ofPart = [...parts.values()].map(({ input, output }) =>
      [input, output].reduce((so, side) => {
        if (side === null || variant === "oft") return so;
        const ofSide = variant === "ether" ? condition([1 - 2 * strength]) : Math.max(
          ...blocksOf(side, numBlocks).map(([u, v]) => {
            const s = sine(u!, v!);
            return condition([1 + strength * s, 1 - strength * s]);
          }),
        );
        ofBlock = Math.max(ofBlock, ofSide);
        return so * ofSide;
      }, 1)
    );
    product *= Math.max(...ofPart);
  }
  return { product, ofBlock };
}

/** Largest over smallest, where the rest are 1. */
function condition(singular: readonly number[]): number {
  const all = [1, ...singular.map(Math.abs)];
  return Math.max(...all) / Math.min(...all);
}

function blocksOf({ u, v }: ReferenceSide, numBlocks: number): Float64Array[][] {
  const n = u.length / numBlocks;
  return Array.from({ length: numBlocks }, (_, block) => {
    return [u, v!].map((vectors) => Float64Array.from(vectors).subarray(block * n, (block + 1) * n));
  });
}

/** Of the angle between two vectors, from the part of v that is orthogonal to u. */
function sine(u: Float64Array, v: Float64Array): number {
  const along = dot(u, v) / dot(u, u);
  const rest = v.map((x, i) => x - along * u[i]!);
  return Math.sqrt(dot(rest, rest) / dot(v, v));
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, x, i) => sum + x * b[i]!, 0);
}

function norm(vector: Float64Array): number {
  return Math.sqrt(dot(vector, vector));
}

Deno.test("unmerge of a merge: the base within both roundings, times the condition; refused beyond the bound", async () => {
  let undone = 0;
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(uncast, async (problem) => {
      const built = await buildProblem(problem);
      const factor = conditionOf(built).product;
      await mergeTo(built.plan, new MemoryOutput(built.storage), built.storage);
      if (factor > 0.99 * MAX_AMPLIFICATION) {
        if (factor < 1.01 * MAX_AMPLIFICATION) return;
        assertEquals((await assertRejects(() => planUndo(built, false), EtherError)).code, "singular");
        refused++;
        return;
      }
      const plan = await planUndo(built, false);
      const shape = [problem.outer, problem.inner];
      const read = (file: Uint8Array<ArrayBuffer>) =>
        decodeFloat64({ dtype: problem.dtype, shape, bytes: file.slice(file.byteLength - built.base.byteLength) });
      const merged = read(built.storage.get("out/model.safetensors"));
      if (!merged.every(Number.isFinite)) return;
      const base = read(built.storage.get("base/model.safetensors"));
      const got = read(await computeFile({ plan, storage: built.storage }));
      const target = targetOf(built);
      // What rounding the result costs is counted of the base, what the sums cost of what was undone.
      const roundings = norm(tolerance(target)) + norm(tolerance({ ...target, exact: base, base: merged }));
      const error = norm(got.map((x, i) => x - base[i]!));
      assert(error <= factor * roundings, `${error} is more than ${factor} · ${roundings}`);
      undone++;
    }),
    { numRuns: 500 },
  );
  assert(undone > 200 && refused > 5, `${undone} undone, ${refused} refused`);
});

/** Anything a weight may hold. */
const anyBits = fc.tuple(uncast, fc.constantFrom("weights", "any bits", "few specials", "huge", "tiny"));

Deno.test("unmerge with a receipt: the base's file, byte for byte, whole and in any part", async () => {
  const parts = fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 1, max: 9000 }));
  let exact = 0;
  await fc.assert(
    fc.asyncProperty(anyBits, parts, async ([problem, kind], [fraction, tileByteLength]) => {
      const count = problem.outer * problem.inner;
      const built = await buildProblem(problem, elements(new Random(problem.seed), problem.dtype, kind, count));
      if (conditionOf(built).ofBlock > 0.5 * NO_INVERSE) return;
      await mergeWithReceipt(built, tileByteLength);
      const plan = await planUndo(built, true);
      const base = built.storage.get("base/model.safetensors");
      assertEquals(await computeFile({ plan, storage: built.storage }), base);
      const cut = Math.floor(fraction * base.byteLength);
      for (const range of [[0, cut], [cut, base.byteLength]] as const) {
        assertEquals(
          await computeFile({ plan, storage: built.storage }, { range, tileByteLength }),
          base.subarray(...range),
        );
      }
      exact++;
    }),
    { numRuns: 250 },
  );
  assert(exact > 100, `${exact} problems`);
});

Deno.test("unmerge with a receipt: parts that begin within a block, and sums of large groups", async () => {
  for (const dtype of FLOAT_DTYPES) {
    const adapters: ProblemAdapter[] = [
      { variant: "ether", sides: ["in", "out"], layout: "paper", numBlocks: 1, strength: 0.9 },
      { variant: "oft", sides: ["in"], layout: "reference", numBlocks: 101 },
    ];
    const built = await buildProblem({ seed: 31, dtype, outer: 600, inner: 1111, adapters });
    await mergeWithReceipt(built, 65536);
    const plan = await planUndo(built, true);
    const base = built.storage.get("base/model.safetensors");
    // The tensor has three blocks; odd bytes cut an element.
    for (const range of [[0, base.byteLength], [600_001, 1_100_003], [base.byteLength - 5, base.byteLength]] as const) {
      const got = await computeFile({ plan, storage: built.storage }, { range, tileByteLength: 65536 });
      assert(got.every((byte, i) => byte === base[range[0] + i]), `${dtype} ${range}`);
    }
  }
});

/** How far undoing may go: not at all, only with a receipt, or without one. */
type Reach = "never" | "with a receipt" | "always";

const REACHES: readonly (readonly [name: string, reach: Reach, adapters: readonly ProblemAdapter[]])[] = [
  ["ETHER at strength 1/2", "never", [{ ...side("ether", "in"), strength: 0.5 }]],
  ["ETHER near strength 1/2, within the bound", "always", [{ ...side("ether", "in"), strength: 0.506 }]],
  ["ETHER near strength 1/2, beyond it", "with a receipt", [{ ...side("ether", "in"), strength: 0.504 }]],
  ["both sides, each within", "with a receipt", [{ ...side("ether", "in"), sides: ["in", "out"], strength: 0.53 }]],
  ["a chain, each within", "with a receipt", [0, 1].map(() => ({ ...side("ether", "out"), strength: 0.53 }))],
  ["a chain within it", "always", [0, 1].map(() => ({ ...side("ether", "out"), strength: 0.56 }))],
  ["a chain whose product no f32 has, each with an inverse", "with a receipt", [
    { ...side("ether", "in"), sides: ["in", "out"], strength: 0.50001 },
    { ...side("ether", "in"), sides: ["in", "out"], strength: 0.49999 },
  ]],
  ["a strength that drowns the rest", "with a receipt", [{ ...side("ether", "in"), strength: 60 }]],
];

function side(variant: "ether" | "etherplus", one: "in" | "out"): ProblemAdapter {
  return { variant, sides: [one], layout: "paper", numBlocks: 2 };
}

for (const [name, reach, adapters] of REACHES) {
  Deno.test(`unmerge of ${name}: ${reach}`, async () => {
    const built = await buildProblem({ seed: 41, dtype: "F32", outer: 24, inner: 36, adapters });
    await mergeTo(built.plan, new MemoryOutput(built.storage), built.storage);
    const singular = async (attempt: () => Promise<unknown>) =>
      assertEquals((await assertRejects(attempt, EtherError)).code, "singular");
    if (reach === "always") await planUndo(built, false);
    else await singular(() => planUndo(built, false));
    if (reach === "never") return await singular(() => mergeWithReceipt(built, 4096));
    await mergeWithReceipt(built, 4096);
    const plan = await planUndo(built, true);
    assertEquals(await computeFile({ plan, storage: built.storage }), built.storage.get("base/model.safetensors"));
  });
}

Deno.test("prepareUnmerge: the library writes a receipt and streams the base from the merged model, to the bit", async () => {
  const folder = await Deno.makeTempDir({ prefix: "ether-receipt-" });
  try {
    const base = "fixtures/llama/base";
    const adapters = [{ path: "fixtures/llama/ether" }, { path: "fixtures/llama/etherplus", strength: 0.5 }];
    const { plan } = await prepareMerge({ base, adapters, receipt: true });
    const [output, receipt] = [`${folder}/merged`, `${folder}/receipt`];
    const report = await mergeToFolder(plan, output, { workers: 2, receipt: { path: receipt } });
    assertEquals(report.receipt!.byteLength, (await Deno.stat(receipt)).size);
    const undo = await prepareUnmerge({ base: output, adapters, receipt });
    for (const { path } of undo.plan.files) {
      const got = await new Response(streamMerged(undo.plan, path)).bytes();
      assertEquals(got, await Deno.readFile(`${base}/${path}`));
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("mergeToFolder with a receipt: an abort while it is written leaves neither it nor the output", async () => {
  const folder = await Deno.makeTempDir({ prefix: "ether-receipt-" });
  try {
    const adapters = [{ path: "fixtures/llama/ether" }];
    const { plan } = await prepareMerge({ base: "fixtures/llama/base", adapters, receipt: true });
    for (const workers of [1, 2]) {
      const abort = new AbortController();
      const onProgress = ({ phase }: Progress) => phase === "receipt" && abort.abort();
      const options = { workers, signal: abort.signal, onProgress, receipt: { path: `${folder}/made/receipt` } };
      const error = await assertRejects(() => mergeToFolder(plan, `${folder}/out`, options), EtherError);
      assertEquals([error.code, [...Deno.readDirSync(folder)]], ["interrupted", []]);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
