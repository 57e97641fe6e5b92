import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { type Kernel, type RowsJob, vectorByteLength } from "../../../runtime/kernel/kernel.ts";
import { laneOf } from "../../../runtime/kernel/lanes.ts";
import { dtypes, firstDifference, KERNELS, kinds, Random, seeds } from "./arbitrary.ts";
import { layOut, type Problem, type Shape, snapshot } from "./problem.ts";

const WASM = KERNELS[0]!;
const SIDES = [[1, 0], [2, 0], [0, 1], [0, 2], [1, 1], [2, 2], [1, 2], [2, 1]] as const;

const shapes: fc.Arbitrary<Shape> = fc.record({
  seed: seeds,
  dtype: dtypes,
  kind: kinds,
  rowCount: fc.integer({ min: 1, max: 9 }),
  chunkCount: fc.integer({ min: 1, max: 4 }),
  chunkLength: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(48, 64, 65, 127, 128, 512, 515, 1030, 1544)),
  sides: fc.constantFrom(...SIDES),
  shared: fc.boolean(),
  offset: fc.integer({ min: 0, max: 16 }),
  gap: fc.constantFrom(0, 0, 1, 2, 16, 34),
}).map(({ sides: [right, left], ...shape }) => ({ ...shape, right, left }));

/** Runs a job on both kernels and compares all that they may have written. */
function assertSameBytes(problem: Problem, run: (kernel: Kernel) => void, shape: unknown): void {
  for (const kernel of KERNELS) run(kernel);
  const at = firstDifference(problem.start, problem.end);
  const values = KERNELS.map((kernel) => kernel.bytes.slice(at & ~3, (at & ~3) + 8).toString());
  assertEquals(at, -1, `${JSON.stringify(shape)}: byte ${at - problem.job.tile}: ${values.join(" | ")}`);
}

Deno.test("transformRows: WASM writes the bytes of the specification", () => {
  fc.assert(
    fc.property(shapes, (shape) => {
      const problem = layOut(shape);
      assertSameBytes(problem, (kernel) => kernel.transformRows(problem.job), shape);
    }),
    { numRuns: 3000 },
  );
});

Deno.test("transformRows: every dtype, side and chunk length up to 40 gives the specification's bytes", () => {
  for (const dtype of ["F32", "BF16", "F16"] as const) {
    for (const [right, left] of SIDES) {
      for (let chunkLength = 1; chunkLength <= 40; chunkLength++) {
        const shape: Shape = {
          seed: chunkLength * 7919 + right * 3 + left,
          dtype,
          kind: chunkLength % 3 === 0 ? "few specials" : "weights",
          rowCount: 1 + chunkLength % 9,
          chunkCount: 1 + chunkLength % 3,
          chunkLength,
          right,
          left,
          shared: chunkLength % 2 === 0,
          offset: chunkLength % 5,
          gap: chunkLength % 4,
        };
        const problem = layOut(shape);
        assertSameBytes(problem, (kernel) => kernel.transformRows(problem.job), shape);
      }
    }
  }
});

Deno.test("transformRows: an F16 chunk that is kept decoded, or is too long for it, gives the specification's bytes", () => {
  for (const [right, left] of SIDES) {
    for (const chunkLength of [4095, 4096, 4097, 4104]) {
      for (const kind of ["weights", "few specials"] as const) {
        const shape: Shape = {
          seed: chunkLength + right * 3 + left,
          dtype: "F16",
          kind,
          rowCount: 5,
          chunkCount: 2,
          chunkLength,
          right,
          left,
          shared: false,
          offset: 2,
          gap: 0,
        };
        const problem = layOut(shape);
        assertSameBytes(problem, (kernel) => kernel.transformRows(problem.job), shape);
      }
    }
  }
});

Deno.test("transformRows: any split of the rows into calls gives the same bytes", () => {
  fc.assert(
    fc.property(shapes, (shape) => {
      const problem = layOut(shape);
      const before = snapshot(WASM, problem);
      WASM.transformRows(problem.job);
      const whole = snapshot(WASM, problem);
      WASM.bytes.set(before, problem.start);
      const random = new Random(shape.seed);
      for (let row = 0; row < shape.rowCount;) {
        const rowCount = 1 + random.below(shape.rowCount - row);
        WASM.transformRows(rowsOf(problem.job, row, rowCount));
        row += rowCount;
      }
      assertEquals(snapshot(WASM, problem), whole, JSON.stringify(shape));
    }),
    { numRuns: 1000 },
  );
});

Deno.test("transformRows: bytes outside the rows' chunks stay as they were", () => {
  fc.assert(
    fc.property(shapes, (shape) => {
      const problem = layOut(shape);
      const { job, start } = problem;
      const before = snapshot(WASM, problem);
      WASM.transformRows(job);
      const after = snapshot(WASM, problem);
      const rowBytes = job.rowStride - shape.gap;
      for (let index = 0; index < before.length; index++) {
        const position = start + index - job.tile;
        const inside = position >= 0 && position < job.rowCount * job.rowStride && position % job.rowStride < rowBytes;
        if (!inside) assertEquals(after[index], before[index], `${JSON.stringify(shape)}: byte ${position}`);
      }
    }),
    { numRuns: 200 },
  );
});

Deno.test("transformRows: a 16-bit tile gets the bytes that its decoded rows, transformed in F32, round to", () => {
  fc.assert(
    fc.property(shapes, fc.constantFrom("BF16" as const, "F16" as const), (drawn, dtype) => {
      const shape = { ...drawn, dtype, kind: "weights" as const };
      const problem = layOut(shape);
      const { job, columnCount } = problem;
      // From 2^40 on F16 goes by way of f64, and F32 not yet.
      if (job.right && Math.max(Math.abs(job.right.alpha), Math.abs(job.right.beta)) > 1000) return;
      const f32 = 1 << 20;
      const rowStride = 4 * columnCount;
      for (let row = 0; row < job.rowCount; row++) {
        WASM.decode(dtype, job.tile + row * job.rowStride, columnCount, f32 + row * rowStride);
      }
      WASM.transformRows(job);
      const [right, left] = inF32(problem, f32 + job.rowCount * rowStride);
      WASM.transformRows({ ...job, dtype: "F32", tile: f32, rowStride, right, left });
      for (let row = 0; row < job.rowCount; row++) {
        WASM.encode(dtype, f32 + row * rowStride, columnCount, f32 + row * rowStride);
        const fused = WASM.bytes.slice(
          job.tile + row * job.rowStride,
          job.tile + row * job.rowStride + 2 * columnCount,
        );
        const apart = WASM.bytes.slice(f32 + row * rowStride, f32 + row * rowStride + 2 * columnCount);
        assertEquals(fused, apart, JSON.stringify(shape));
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("transformRows: a job without a part does nothing", () => {
  fc.assert(
    fc.property(shapes, (shape) => {
      const problem = layOut({ ...shape, right: 0, left: 0 });
      for (const kernel of KERNELS) {
        const before = snapshot(kernel, problem);
        kernel.transformRows(problem.job);
        assertEquals(snapshot(kernel, problem), before);
      }
    }),
    { numRuns: 50 },
  );
});

/** The parts of a 16-bit job with their vectors in F32's order, written from `free` on. */
function inF32({ job }: Problem, free: number): [RowsJob["right"], RowsJob["left"]] {
  const { dtype, chunkLength, chunkCount, right, left } = job;
  const bytes = vectorByteLength(chunkLength);
  const copy = (address: number, stride: number) => {
    if (address === 0) return 0;
    const start = free;
    free += chunkCount * bytes;
    const view = new DataView(WASM.bytes.buffer);
    for (let chunk = 0; chunk < chunkCount; chunk++) {
      const values = Float32Array.from(
        { length: chunkLength },
        (_, index) => view.getFloat32(address + chunk * stride + 4 * laneOf(dtype, index), true),
      );
      WASM.writeVectors("F32", start + chunk * bytes, values, chunkLength);
    }
    return start;
  };
  free += 64 - free % 64;
  return [
    right && {
      ...right,
      u: copy(right.u, right.vectorStride),
      v: copy(right.v, right.vectorStride),
      vectorStride: bytes,
    },
    left && { ...left, s: copy(left.s, bytes), t: copy(left.t, bytes) },
  ];
}

/** The same job on some of its rows. */
function rowsOf(job: RowsJob, row: number, rowCount: number): RowsJob {
  const left = job.left && {
    ...job.left,
    p: job.left.p + 4 * row,
    q: job.left.q ? job.left.q + 4 * row : 0,
  };
  return { ...job, tile: job.tile + row * job.rowStride, rowCount, left };
}
