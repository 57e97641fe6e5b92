import { Random } from "./arbitrary.ts";
import { elements, FREE, KERNELS, unitVectors, write } from "./arbitrary.ts";
import { ulp, valuesOf } from "./reference.ts";
import { vectorByteLength } from "../../../runtime/kernel/kernel.ts";
import { elementByteLength, FLOAT_DTYPES } from "../../../runtime/safetensors/dtype.ts";

const WASM = KERNELS[0]!;

/** One side of H = I − Σ cₖ·xₖxₖᵀ, in f64. */
interface Side {
  readonly vectors: readonly Float32Array[];
  readonly coefficients: readonly number[];
}

const CASES = [
  { rowCount: 64, numBlocks: 4, columnCount: 256 },
  { rowCount: 24, numBlocks: 1, columnCount: 900 },
  { rowCount: 5, numBlocks: 1, columnCount: 16384 },
  { rowCount: 128, numBlocks: 3, columnCount: 51 },
];

/** Where a tile's weights are ordinary and where some power of two smaller, down to F32's smallest number and to 0. */
type Scales = "ordinary" | "tiny" | "tiny chunks" | "tiny columns" | "tiny chunks and columns";

/** Log2 of what tiny weights are scaled by; ordinary neighbours are among them. */
const TINY = [0, -92, -97, -110, -120, -130, -138, -141, -143, -200];

const TESTS = FLOAT_DTYPES.flatMap((dtype) =>
  [false, true].flatMap((plus) =>
    (["right", "left", "both"] as const).flatMap((sides) =>
      (["ordinary", "tiny", "tiny chunks", "tiny columns", "tiny chunks and columns"] as const)
        .filter((scales) => scales === "ordinary" || dtype !== "F16")
        .map((scales) => ({ dtype, plus, sides, scales }))
    )
  )
);

for (const { dtype, plus, sides, scales } of TESTS) {
  Deno.test(`${dtype} ${plus ? "ETHER+" : "ETHER"}, ${sides}, ${scales}: within 0.505 ulp and what the sums may lose`, () => {
    for (const { rowCount, numBlocks, columnCount } of CASES) {
      const random = new Random(rowCount);
      const n = columnCount / numBlocks;
      const bytes = vectorByteLength(n);
      const rowStride = columnCount * elementByteLength(dtype);
      let free = FREE + Math.ceil(rowCount * rowStride / 64) * 64;
      const take = (byteLength: number) => (free += byteLength + 63 & ~63) - (byteLength + 63 & ~63);

      const side = (count: number, length: number): Side => ({
        vectors: Array.from({ length: plus ? 2 : 1 }, () => unitVectors(random, count, length)),
        coefficients: plus ? [1, -1] : [2],
      });
      const rightSide = sides === "left" ? null : side(numBlocks, n);
      const leftSide = sides === "right" ? null : side(1, rowCount);

      const count = rowCount * columnCount;
      write(FREE, elements(random, dtype, "weights", count));
      if (scales !== "ordinary") {
        WASM.decode(dtype, FREE, count, free);
        scale(random, new Float32Array(WASM.bytes.buffer, free, count), columnCount, n, scales);
        WASM.encode(dtype, free, count, FREE);
      }
      const before = valuesOf(WASM, dtype, FREE, rowCount * columnCount);

      const rights = rightSide?.vectors.map((values) => {
        const address = take(numBlocks * bytes);
        WASM.writeVectors(dtype, address, values, n);
        return address;
      });
      const right = rights
        ? { u: rights[0]!, v: rights[1] ?? 0, vectorStride: bytes, alpha: rightSide!.coefficients[0]!, beta: 1 }
        : null;
      const chunks = { chunkCount: numBlocks, chunkLength: n };
      const lefts = leftSide?.vectors.map((values, index) => {
        const p = take(4 * rowCount), sums = take(8 * columnCount), target = take(numBlocks * bytes);
        const scratch = take(vectorByteLength(columnCount));
        write(p, values);
        WASM.bytes.fill(0, sums, sums + 8 * columnCount);
        for (let row = 0; row < rowCount; row += 64) {
          const job = { dtype, tile: FREE + row * rowStride, rowStride, columnCount, p: p + 4 * row };
          WASM.reduceRows({ ...job, rowCount: Math.min(64, rowCount - row), q: 0, pSums: sums, qSums: 0, scratch });
        }
        const scale = Math.abs(leftSide.coefficients[index]!);
        const exact = WASM.prepareSums({ dtype, sums, ...chunks, right, scale, target });
        return { p, sums, target, exact };
      });
      const left = lefts
        ? {
          p: lefts[0]!.p,
          q: lefts[1]?.p ?? 0,
          s: lefts[0]!.target,
          t: lefts[1]?.target ?? 0,
          s64: lefts[0]!.sums,
          t64: lefts[1]?.sums ?? 0,
          exact: lefts.some(({ exact }) => exact),
        }
        : null;
      WASM.transformRows({ dtype, tile: FREE, rowCount, rowStride, ...chunks, right, left });

      const { exact, size } = reference(before, rowCount, columnCount, numBlocks, rightSide, leftSide);
      valuesOf(WASM, dtype, FREE, rowCount * columnCount).forEach((got, index) => {
        const error = Math.abs(got - exact[index]!);
        const allowed = 0.505 * ulp(dtype, exact[index]!) + 8 * 2 ** -24 * size[index]!;
        if (error > allowed) {
          throw new Error(`${rowCount}x${columnCount} [${index}]: ${got} for ${exact[index]}: ${error / allowed}`);
        }
      });
    }
  });
}

/** Makes weights tiny: all of them by one power of two, or each chunk of a row, or each column, by its own. */
function scale(random: Random, w: Float32Array, columnCount: number, chunkLength: number, scales: Scales): void {
  const draw = () => TINY[random.below(TINY.length)]!;
  const all = scales === "tiny" ? TINY[1 + random.below(TINY.length - 2)]! : 0;
  const columns = Array.from({ length: columnCount }, () => /columns/.test(scales) ? draw() : 0);
  let chunk = 0;
  w.forEach((x, index) => {
    if (index % chunkLength === 0 && /chunks/.test(scales)) chunk = draw();
    w[index] = x * 2 ** (all + chunk + columns[index % columnCount]!);
  });
}

/** The exact result, and A: what the reductions can lose is a multiple of it (golden/README.md). */
function reference(
  w: readonly number[],
  rowCount: number,
  columnCount: number,
  numBlocks: number,
  right: Side | null,
  left: Side | null,
): { exact: Float64Array; size: Float64Array } {
  const exact = Float64Array.from(w);
  const size = Float64Array.from(w, Math.abs);
  const n = columnCount / numBlocks;
  /** Applies a side to the elements at `indices`, and puts their norm in the place of each size. */
  const apply = (indices: readonly number[], { vectors, coefficients }: Side, from: number) => {
    const x = indices.map((index) => exact[index]!);
    vectors.forEach((vector, which) => {
      const c = coefficients[which]! * x.reduce((sum, value, e) => sum + value * vector[from + e]!, 0);
      indices.forEach((index, e) => exact[index]! -= c * vector[from + e]!);
    });
    const norm = Math.sqrt(indices.reduce((sum, index) => sum + size[index]! ** 2, 0));
    for (const index of indices) size[index] = norm;
  };
  const range = (length: number) => Array.from({ length }, (_, index) => index);
  if (right) {
    for (let row = 0; row < rowCount; row++) {
      for (let block = 0; block < numBlocks; block++) {
        apply(range(n).map((e) => row * columnCount + block * n + e), right, block * n);
      }
    }
  }
  if (left) {
    for (let column = 0; column < columnCount; column++) {
      apply(range(rowCount).map((row) => row * columnCount + column), left, 0);
    }
  }
  return { exact, size };
}
