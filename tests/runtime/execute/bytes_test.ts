/** The same bytes however they are computed: any tile, any range, any number of workers, with or without a decoded copy. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import fc from "fast-check";
import { startDigest } from "../../../runtime/deno/digest.ts";
import { Engine } from "../../../runtime/execute/engine.ts";
import { runMerge } from "../../../runtime/execute/run_merge.ts";
import { stepsOf } from "../../../runtime/execute/steps.ts";
import { streamFile } from "../../../runtime/execute/stream.ts";
import { worksInPlace } from "../../../runtime/execute/tiles.ts";
import { PIECE_BYTES } from "../../../runtime/execute/tree_digest.ts";
import { loadKernel } from "../../../runtime/kernel/load.ts";
import type { MergePlan, TensorSpan } from "../../../runtime/plans/plan.ts";
import { elements, Random } from "../kernel/arbitrary.ts";
import { problems } from "./arbitrary.ts";
import { MemoryOutput } from "./memory_output.ts";
import {
  buildProblem,
  type BuiltProblem,
  computeFile,
  engineOf,
  type Problem,
  sharedKernel,
  targetSpan,
} from "./problem.ts";

/** Problems whose weights may be anything, NaN and infinities included. */
const anyBits = fc.tuple(problems, fc.constantFrom("weights", "any bits", "few specials", "huge", "tiny"));

function build([problem, kind]: [Problem, Parameters<typeof elements>[2]]): Promise<BuiltProblem> {
  const random = new Random(problem.seed);
  return buildProblem(problem, elements(random, problem.dtype, kind, problem.outer * problem.inner));
}

Deno.test("Engine.produce: any tile size gives the same bytes", async () => {
  await fc.assert(
    fc.asyncProperty(anyBits, fc.integer({ min: 1, max: 30_000 }), async (drawn, tileByteLength) => {
      const built = await build(drawn);
      const expected = await computeFile(built);
      for (const tile of [tileByteLength, 4096]) {
        assertEquals(await computeFile(built, { tileByteLength: tile }), expected, `tile of ${tile}`);
      }
    }),
    { numRuns: 400 },
  );
});

Deno.test("Engine.produce: sums of more groups than are remembered give the same bytes", async () => {
  const built = await buildProblem({
    ...{ seed: 12, dtype: "BF16", outer: 64, inner: 16_000 },
    adapters: [4, 8].map((numBlocks) => ({ variant: "etherplus", sides: ["out"], layout: "paper", numBlocks })),
  });
  const expected = await computeFile(built);
  const { size } = built.plan.files[0]!;
  assert(equalBytes(await computeFile(built, { tileByteLength: 1 }), expected));
  // From the middle of a group on.
  const range = [Math.floor(size / 9), size] as const;
  assert(equalBytes(await computeFile(built, { tileByteLength: 1, range }), expected.subarray(...range)));
});

Deno.test("Engine.produce: the parts of any split of a file concatenate to the whole", async () => {
  const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(anyBits, cuts, fc.integer({ min: 1, max: 9000 }), async (drawn, fractions, tileByteLength) => {
      const built = await build(drawn);
      const { size } = built.plan.files[0]!;
      const expected = await computeFile(built);
      const borders = [0, ...fractions.map((x) => Math.floor(x * size)).sort((a, b) => a - b), size];
      for (let i = 1; i < borders.length; i++) {
        const range = [borders[i - 1]!, borders[i]!] as const;
        const part = await computeFile(built, { range, tileByteLength });
        assertEquals(part, expected.subarray(...range), `bytes ${range}`);
      }
    }),
    { numRuns: 400 },
  );
});

Deno.test("Engine.produce: a tensor decoded to f32 first gives the bytes that the tensor as read gives", async () => {
  let inPlaceCount = 0;
  await fc.assert(
    fc.asyncProperty(anyBits, async (drawn) => {
      const built = await build(drawn);
      const span = targetSpan(built);
      if (!worksInPlace(span)) return;
      inPlaceCount++;
      assertEquals(await computeFile({ ...built, plan: decodedFirst(built) }), await computeFile(built));
    }),
    { numRuns: 600 },
  );
  assert(inPlaceCount > 50, `only ${inPlaceCount} worked in place`);
});

/** The same plan, but that no Op takes tiles as they were read. */
function decodedFirst({ plan }: BuiltProblem): MergePlan {
  const [file] = plan.files;
  const decoded = (span: TensorSpan): TensorSpan => {
    return { ...span, stages: span.stages.map((stage) => stage.map((spec) => ({ ...spec, tileDtypes: [] }))) };
  };
  const spans = file!.spans.map((span) => span.kind === "tensor" ? decoded(span) : span);
  return { ...plan, files: [{ ...file!, spans }] };
}

Deno.test("runMerge: sums made beforehand by any number of runners give the bytes of sums made on the way", async () => {
  let groupCount = 0;
  await fc.assert(
    fc.asyncProperty(anyBits, fc.integer({ min: 1, max: 3 }), async (drawn, runnerCount) => {
      const built = await build(drawn);
      groupCount += stepsOf(built.plan, 1, PIECE_BYTES).groups.size;
      // A tile of one row: no group of more than four rows is resident.
      assertEquals((await mergeInMemory(built, runnerCount, 1)).file, await computeFile(built));
    }),
    { numRuns: 250 },
  );
  assert(groupCount > 250, `only ${groupCount} groups were summed beforehand`);
});

/** The merged file and manifest, from some engines side by side in this thread. */
async function mergeInMemory(built: BuiltProblem, runnerCount: number, tileByteLength: number) {
  const { plan, storage } = built;
  const output = new MemoryOutput(storage);
  const assignment = { files: plan.files, output: null, tileByteLength };
  const host = { openSource: storage.openSource, openSink: (path: string) => output.open(path), startDigest };
  const runners = Array.from({ length: runnerCount }, () => new Engine({ ...host, kernel: loadKernel() }, assignment));
  const report = await runMerge(plan, output, {
    ...{ runners, openSource: storage.openSource, startDigest, tileByteLength, shareByteLength: PIECE_BYTES },
    verify: true,
  });
  for (const runner of runners) runner.close();
  return { file: storage.get("out/model.safetensors"), report };
}

/** Some megabytes, so that there are several shares, whose borders cut rows. */
const LARGE: readonly Problem[] = [
  {
    ...{ seed: 1, dtype: "F32", outer: 1200, inner: 611 },
    adapters: [{ variant: "etherplus", sides: ["out"], layout: "paper", numBlocks: 3 }],
  },
  {
    ...{ seed: 2, dtype: "BF16", castTo: "F32", outer: 612, inner: 1333 },
    adapters: [
      { variant: "ether", sides: ["out"], layout: "paper", numBlocks: 1 },
      { variant: "oft", sides: ["out"], layout: "paper", numBlocks: 51 },
      { variant: "ether", sides: ["out"], layout: "paper", numBlocks: 2 },
    ],
  },
  {
    ...{
      seed: 3,
      dtype: "F16",
      outer: 900,
      inner: 1430,
      fused: { numHeads: 6, numQueryGroups: 2, headSize: 90, order: "grouped" },
    },
    adapters: [{ variant: "ether", sides: ["out"], layout: "paper", numBlocks: 1, parts: ["q", "v"] }],
  },
];

for (const problem of LARGE) {
  const what = `${problem.dtype}, ${problem.adapters.map(({ variant }) => variant).join(" then ")}`;
  Deno.test(`runMerge of several shares (${what}): the same bytes and manifest for any runners and tiles`, async () => {
    const built = await buildProblem(problem);
    const expected = await computeFile(built);
    assert(expected.byteLength > 2 * PIECE_BYTES, "several shares");
    const manifests = new Set<string>();
    for (const [runners, tileByteLength] of [[1, 4096], [2, 65536], [3, 1 << 22]] as const) {
      const { file, report } = await mergeInMemory(built, runners, tileByteLength);
      assert(equalBytes(file, expected), `${runners} runners, tiles of ${tileByteLength}`);
      manifests.add(new TextDecoder().decode(report.manifest));
    }
    assertEquals(manifests.size, 1);
  });
}

Deno.test("runMerge with a cast: values beyond the new dtype are counted once, however the file is cut", async () => {
  const problem: Problem = {
    ...{ seed: 4, dtype: "BF16", castTo: "F16", weights: "large", outer: 1024, inner: 1025 },
    adapters: [{ variant: "ether", sides: ["in"], layout: "paper", numBlocks: 5 }],
  };
  const built = await buildProblem(problem);
  const file = await computeFile(built);
  const infinities = new Uint16Array(file.slice(-1024 * 1025 * 2).buffer).filter((code) => (code & 0x7fff) === 0x7c00);
  assert(infinities.length > 1_000_000);
  for (const runners of [1, 3]) {
    const { report } = await mergeInMemory(built, runners, 50_000);
    assertEquals(report.warnings, [
      `model.layers.0.mixer.weight: ${infinities.length} finite values became infinite in the new dtype`,
    ]);
  }
});

Deno.test("Engine.produce with a cast: any split counts each value beyond the new dtype once", async () => {
  const problem: Problem = {
    ...{ seed: 5, dtype: "F32", castTo: "F16", weights: "large", outer: 9, inner: 14 },
    adapters: [{ variant: "oft", sides: ["out"], layout: "paper", numBlocks: 3 }],
  };
  const built = await buildProblem(problem);
  const span = targetSpan(built);
  const { size } = built.plan.files[0]!;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: span.offset, max: size }), { maxLength: 9 }), async (cuts) => {
      const engine = engineOf(built, 100, sharedKernel());
      const borders = [0, ...cuts.sort((a, b) => a - b), size];
      let count = 0;
      for (let i = 1; i < borders.length; i++) {
        const overflows = await engine.produce(built.plan.files[0]!, borders[i - 1]!, borders[i]!, () => {});
        for (const overflow of overflows) count += overflow.count;
      }
      assertEquals(count, 9 * 14);
    }),
    { numRuns: 100 },
  );
});

Deno.test("runMerge: a chain of k sums over whole columns reads the base k + 1 times, for any number of runners", async () => {
  const built = await buildProblem({
    ...{ seed: 7, dtype: "F32", outer: 900, inner: 700 },
    adapters: [1, 2, 3].map((numBlocks) => ({ variant: "ether", sides: ["out"], layout: "paper", numBlocks })),
  });
  for (const runners of [1, 3]) {
    const base = built.storage.reads.get("base/model.safetensors")!;
    base.byteLength = 0;
    await mergeInMemory(built, runners, 20_000);
    const times = base.byteLength / built.plan.files[0]!.size;
    assert(times < 4.1, `it was read ${times} times`);
  }
});

Deno.test("streamFile: the stream of any range is that range of the file", async () => {
  await fc.assert(
    fc.asyncProperty(problems, fc.nat(), fc.nat(), async (problem, a, b) => {
      const { plan, storage } = await buildProblem(problem);
      const expected = await computeFile({ plan, storage });
      const [start, end] = [a % (expected.byteLength + 1), b % (expected.byteLength + 1)].sort((x, y) => x - y);
      const stream = streamFile(plan, "model.safetensors", storage.openSource, { start: start!, end: end! });
      const bytes = await new Response(stream).bytes();
      assertEquals(bytes, expected.subarray(start, end));
    }),
    { numRuns: 60 },
  );
});

Deno.test("streamFile: a reader may cancel at once, after some bytes, and after the last", async () => {
  const { plan, storage } = await buildProblem(LARGE[0]!);
  for (const readCount of [0, 1, 2, 3, 4]) {
    const reader = streamFile(plan, "model.safetensors", storage.openSource).getReader();
    for (let i = 0; i < readCount; i++) await reader.read();
    await reader.cancel("enough");
    // What goes wrong after that would be an unhandled rejection, which fails the test.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
});

Deno.test("streamFile: an aborted stream ends with the signal's reason", async () => {
  const { plan, storage } = await buildProblem(LARGE[0]!);
  const abort = new AbortController();
  const reader = streamFile(plan, "model.safetensors", storage.openSource, { signal: abort.signal }).getReader();
  await reader.read();
  abort.abort(new Error("the client left"));
  const reason = await reader.read().then(() => reader.read()).catch((error: Error) => error.message);
  assertEquals(reason, "the client left");
});

Deno.test("Engine.produce: one block over a tensor larger than the tile reads it twice, a tile at a time", async () => {
  for (const dtype of ["F32", "BF16", "F16"] as const) {
    for (const variant of ["ether", "etherplus"] as const) {
      const built = await buildProblem({
        ...{ seed: 6, dtype, outer: 640, inner: 256 },
        adapters: [{ variant, sides: ["in", "out"], layout: "paper", numBlocks: 1 }],
      });
      const tileByteLength = 64 * 256 * 4;
      const { size } = built.plan.files[0]!;
      built.storage.reads.clear();
      const kernel = loadKernel();
      await computeFile(built, { tileByteLength, kernel });
      const reads = built.storage.reads.get("base/model.safetensors")!;
      assert(reads.byteLength <= 2 * size, `${reads.byteLength} bytes were read of ${size}`);
      assert(reads.byteLength > size * 1.9, "it is larger than a tile");
      assert(reads.largest <= tileByteLength, `${reads.largest} bytes at once`);
      assert(kernel.bytes.byteLength < kernel.base + 6 * tileByteLength + 65536, `${kernel.bytes.byteLength} bytes`);
    }
  }
});

Deno.test("Engine.produce: groups that fit a tile are read once", async () => {
  const built = await buildProblem({
    ...{ seed: 6, dtype: "BF16", outer: 640, inner: 256 },
    adapters: [{ variant: "etherplus", sides: ["in", "out"], layout: "reference", numBlocks: 16 }],
  });
  built.storage.reads.clear();
  await computeFile(built, { tileByteLength: 48 * 512 });
  assertEquals(built.storage.reads.get("base/model.safetensors")!.byteLength, built.plan.files[0]!.size);
});

Deno.test("Engine.produce: a rotation's group is read and turned once, however small the tile", async () => {
  const parts = { numHeads: 6, numQueryGroups: 2, headSize: 16, order: "grouped" } as const;
  const rotation = { variant: "oft", sides: ["out"], layout: "paper" } as const;
  const reflection = { variant: "ether", sides: ["out"], layout: "paper", numBlocks: 1 } as const;
  const shape = { seed: 13, dtype: "BF16", outer: 160, inner: 200 } as const;
  const problems: readonly [Problem, number][] = [
    [{ ...shape, adapters: [{ ...rotation, numBlocks: 1 }] }, 1],
    [{ ...shape, adapters: [{ ...rotation, numBlocks: 2 }] }, 1],
    [{ ...shape, fused: parts, adapters: [{ ...rotation, numBlocks: 1 }] }, 1],
    // The sum after the rotation is made of spans, whose borders cut groups.
    [{ ...shape, outer: 640, inner: 40, adapters: [{ ...rotation, numBlocks: 2 }, reflection] }, 4],
  ];
  for (const [problem, times] of problems) {
    const built = await buildProblem(problem);
    built.storage.reads.clear();
    await computeFile(built, { tileByteLength: 400 });
    const { byteLength } = built.storage.reads.get("base/model.safetensors")!;
    assert(byteLength <= times * built.plan.files[0]!.size, `${JSON.stringify(problem)}: ${byteLength} bytes`);
  }
});

Deno.test("Engine.produce: after a failed range the engine's memory is free again", async () => {
  const built = await buildProblem(LARGE[0]!);
  const kernel = loadKernel();
  const { plan, storage } = built;
  const host = {
    kernel,
    openSource: storage.openSource,
    openSink: () => new MemoryOutput(storage).open(""),
    startDigest,
  };
  const engine = new Engine(host, { files: plan.files, output: null, tileByteLength: 1 << 20 });
  const leave = () => {
    throw new Error("the client left");
  };
  const file = plan.files[0]!;
  const sizes: number[] = [];
  for (let attempt = 0; attempt < 5; attempt++) {
    await engine.produce(file, 0, file.size, leave).catch(() => {});
    await engine.produce(file, 2000, file.size, leave).catch(() => {});
    sizes.push(kernel.bytes.byteLength);
  }
  assertEquals(new Set(sizes).size, 1, `${sizes}`);
});

Deno.test("two adapters in the other order give other bytes: the comparisons above can fail", async () => {
  const adapters = [
    { variant: "ether", sides: ["in"], layout: "paper", numBlocks: 1 },
    { variant: "ether", sides: ["in"], layout: "paper", numBlocks: 2 },
  ] as const;
  const shape = { seed: 8, dtype: "F32", outer: 16, inner: 16 } as const;
  const one = await buildProblem({ ...shape, adapters: [adapters[0], adapters[1]] });
  const { stages } = targetSpan(one);
  const [file] = one.plan.files;
  const spans = file!.spans.map((span) => span.kind === "tensor" ? { ...span, stages: stages.toReversed() } : span);
  const plan = { ...one.plan, files: [{ ...file!, spans }] };
  assertNotEquals(await computeFile({ ...one, plan }), await computeFile(one));
});

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, at) => byte === b[at]);
}
