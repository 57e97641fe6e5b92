/** Pieces of a file, from engines that share their sketches. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { largestPiece, PIECE_BYTES, pieceEnd } from "../../../runtime/execute/pieces.ts";
import { SketchStore } from "../../../runtime/execute/sketch_store.ts";
import { loadKernel } from "../../../runtime/kernel/load.ts";
import type { PlannedFile } from "../../../runtime/plans/plan.ts";
import { elements, Random } from "../kernel/arbitrary.ts";
import { problems } from "./arbitrary.ts";
import { buildProblem, type BuiltProblem, computeFile, engineOf, type Problem, targetSpan } from "./problem.ts";

const kernels = [loadKernel(), loadKernel()];
const anyBits = fc.tuple(problems, fc.constantFrom("weights", "any bits", "few specials", "huge", "tiny"));

function build([problem, kind]: [Problem, Parameters<typeof elements>[2]]): Promise<BuiltProblem> {
  const random = new Random(problem.seed);
  return buildProblem(problem, elements(random, problem.dtype, kind, problem.outer * problem.inner));
}

/** Two engines, and what they share. */
function enginesOf(built: BuiltProblem, tileByteLength: number, sketchBytes: number) {
  const engines = kernels.map((kernel) => engineOf(built, tileByteLength, kernel));
  return { engines, sketches: new SketchStore(sketchBytes), close: () => engines.forEach((engine) => engine.close()) };
}

Deno.test("Engine.piece: any range, piece by piece from several engines, is that range of the file", async () => {
  const ranges = fc.array(
    fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })),
    {
      minLength: 1,
      maxLength: 4,
    },
  );
  const tiles = fc.constantFrom(1, 300, 4096, 262_144);
  await fc.assert(
    fc.asyncProperty(
      anyBits,
      ranges,
      tiles,
      fc.constantFrom(0, 4096, 1 << 20),
      async (drawn, fractions, tile, kept) => {
        const built = await build(drawn);
        const file = built.plan.files[0]!;
        const expected = await computeFile(built);
        const { engines, sketches, close } = enginesOf(built, tile, kept);
        const jobs = fractions.map(([a, b]) => {
          const [start, end] = [Math.floor(a * file.size), Math.floor(b * file.size)].sort((x, y) => x - y);
          return { start: start!, end: end!, at: start! };
        });
        jobs.push({ start: 0, end: file.size, at: 0 });
        // Ranges by turns, each engine by turns: what is prepared for one is there for the other.
        for (let turn = 0; jobs.some(({ at, end }) => at < end); turn++) {
          const job = jobs[turn % jobs.length]!;
          if (job.at === job.end) continue;
          const engine = engines[turn % 3 % 2]!;
          const { at: start, end } = job;
          const piece = await engine.piece({ file, contentName: "x", start, end, sketches });
          assert(piece.byteLength > 0 && start + piece.byteLength <= end);
          assertEquals(piece, expected.subarray(start, start + piece.byteLength), `bytes from ${start} of ${end}`);
          job.at += piece.byteLength;
        }
        close();
      },
    ),
    { numRuns: 300 },
  );
});

/** A group of rows that is larger than a tile, summed before its rows can be transformed. */
const COLUMN: Problem = {
  ...{ seed: 21, dtype: "BF16", outer: 1500, inner: 1000 },
  adapters: [{ variant: "etherplus", sides: ["in", "out"], layout: "paper", numBlocks: 1 }],
};

Deno.test("Engine.piece: what many ask for at the same time is summed once", async () => {
  const built = await buildProblem(COLUMN);
  const file = built.plan.files[0]!;
  const expected = await computeFile(built);
  const { engines, sketches, close } = enginesOf(built, 50_000, 1 << 20);
  built.storage.reads.clear();
  const starts = [1_000_000, 2_000_000];
  const pieces = await Promise.all(starts.map((start, i) => {
    return engines[i]!.piece({ file, contentName: "x", start, end: start + 5000, sketches });
  }));
  for (const [i, piece] of pieces.entries()) {
    assertEquals(piece, expected.subarray(starts[i]!, starts[i]! + piece.byteLength));
  }
  const { byteLength } = built.storage.reads.get("base/model.safetensors")!;
  assert(byteLength < 1.1 * file.size, `${byteLength} bytes were read of ${file.size}`);
  assert(sketches.byteLength > 0);

  // From then on a range costs what it is long.
  await engines[0]!.piece({ file, contentName: "x", start: 500_000, end: 510_000, sketches });
  const more = built.storage.reads.get("base/model.safetensors")!.byteLength - byteLength;
  assert(more < 15_000, `${more} bytes were read for 10,000`);
  close();
});

Deno.test("Engine.piece: sketches are found by what they are made of", async () => {
  const built = await buildProblem(COLUMN);
  const other = await buildProblem({ ...COLUMN, seed: 22 });
  const [engine] = kernels.map((kernel) => engineOf(built, 50_000, kernel));
  const [, otherEngine] = kernels.map((kernel) => engineOf(other, 50_000, kernel));
  const sketches = new SketchStore(1 << 20);
  for (const [one, made, name] of [[engine!, built, "a"], [otherEngine!, other, "b"]] as const) {
    const file = made.plan.files[0]!;
    const piece = await one.piece({ file, contentName: name, start: 9000, end: 19_000, sketches });
    assertEquals(piece, (await computeFile(made)).subarray(9000, 9000 + piece.byteLength));
    one.close();
  }
});

Deno.test("Engine.piece: whoever is stopped leaves the others their sums, and the engine its memory", async () => {
  const built = await buildProblem(COLUMN);
  const file = built.plan.files[0]!;
  const expected = await computeFile(built);
  const sketches = new SketchStore(1 << 20);
  const stop = new AbortController();
  const { openSource } = built.storage;
  let reads = 0;
  const slow = kernels.map((kernel, i) => {
    const storage = Object.assign(Object.create(built.storage), {
      openSource: (locator: string) => {
        const source = openSource(locator);
        if (i === 1 || !locator.startsWith("base")) return source;
        return {
          ...source,
          read: async (offset: number, into: Uint8Array<ArrayBufferLike>) => {
            if (++reads === 20) stop.abort(new Error("the client left"));
            await new Promise((resolve) => setTimeout(resolve));
            source.read(offset, into);
          },
        };
      },
    });
    return engineOf({ ...built, storage }, 4096, kernel);
  });
  const wish = { file, contentName: "x", start: 1_000_000, end: 1_001_000, sketches };
  const left = slow[0]!.piece({ ...wish, signal: stop.signal });
  // The first read is of the range itself.
  while (reads < 2) await new Promise((resolve) => setTimeout(resolve));
  const stayed = slow[1]!.piece(wish);
  assertEquals((await assertRejects(() => left, Error)).message, "the client left");
  assertEquals(await stayed, expected.subarray(1_000_000, 1_001_000));
  assert(reads < 25, `${reads} reads by the one who was stopped`);
  assertEquals(await slow[0]!.piece(wish), expected.subarray(1_000_000, 1_001_000));
  for (const engine of slow) engine.close();
});

Deno.test("pieceEnd: a piece is some whole tiles up to 256 KiB, and a file is few pieces", async () => {
  const tile = 64 << 10;
  for (const numBlocks of [1, 4, 125]) {
    const built = await buildProblem({ ...COLUMN, adapters: [{ ...COLUMN.adapters[0]!, numBlocks }] });
    const file = built.plan.files[0]!;
    const ends = endsOf(file, tile);
    for (const [i, end] of ends.entries()) assert(end - (ends[i - 1] ?? 0) <= PIECE_BYTES, `${ends}`);
    assert(ends.length <= Math.ceil(file.size / PIECE_BYTES) + 2, `${ends}`);
    const { offset, columnCount } = targetSpan(built);
    for (const end of ends) assertEquals((end - offset) % (columnCount * 2), 0, "a row is cut");
  }
});

Deno.test("largestPiece: no piece of a file has more, and the file no less than a piece", async () => {
  await fc.assert(fc.asyncProperty(anyBits, fc.constantFrom(300, 4096, 1 << 20), async (drawn, tile) => {
    const { plan } = await build(drawn);
    for (const file of plan.files) {
      const largest = largestPiece(file, tile);
      assert(largest <= file.size);
      for (const [i, end] of endsOf(file, tile).entries()) {
        assert(end - (endsOf(file, tile)[i - 1] ?? 0) <= largest, `${largest}`);
      }
    }
  }));
  // A group that is computed as one, of more than a tile.
  const rotation = { variant: "oft", sides: ["out"], layout: "paper" } as const;
  const built = await buildProblem({ ...COLUMN, outer: 1200, inner: 900, adapters: [{ ...rotation, numBlocks: 1 }] });
  const { byteLength } = targetSpan(built);
  assertEquals(byteLength > PIECE_BYTES, true);
  assertEquals(largestPiece(built.plan.files[0]!, 4096), byteLength);
});

Deno.test("pieceEnd: a group of rows that is computed as one stays in one piece, up to 8 MiB", async () => {
  const rotation = { variant: "oft", sides: ["out"], layout: "paper" } as const;
  const built = await buildProblem({ ...COLUMN, outer: 1200, inner: 900, adapters: [{ ...rotation, numBlocks: 1 }] });
  const span = targetSpan(built);
  assertEquals(endsOf(built.plan.files[0]!, 256 << 10), [span.offset, built.plan.files[0]!.size]);
  const wide = { ...span, columnCount: 9000, byteLength: span.rowCount * 18_000 };
  const file = {
    path: "x",
    size: wide.offset + wide.byteLength,
    spans: [...built.plan.files[0]!.spans.slice(0, -1), wide],
  };
  const ends = endsOf(file, 256 << 10);
  assertEquals(ends.length, 1 + Math.ceil(wide.byteLength / (8 << 20)));
});

/** Where the pieces of a file end. */
function endsOf(file: PlannedFile, tileByteLength: number): number[] {
  const ends: number[] = [];
  for (let at = 0; at < file.size;) ends.push(at = pieceEnd(file, at, file.size, tileByteLength));
  return ends;
}

Deno.test("Engine.piece: what one client had prepared serves the next one, after the first has left", async () => {
  const built = await buildProblem(COLUMN);
  const file = built.plan.files[0]!;
  const expected = await computeFile(built);
  const engine = engineOf(built, 50_000, kernels[0]!);
  const wish = { file, contentName: "x", sketches: new SketchStore(0) };
  const stop = new AbortController();
  await engine.piece({ ...wish, start: 1000, end: 2000, signal: stop.signal });
  built.storage.reads.clear();
  stop.abort(new Error("the client left"));
  assertEquals(await engine.piece({ ...wish, start: 4000, end: 5000 }), expected.subarray(4000, 5000));
  assertEquals(built.storage.reads.has("adapter0/adapter_model.safetensors"), false, "it was prepared again");
  engine.close();
});
