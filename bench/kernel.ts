/**
 * How fast the kernel is, on one weight of 4096 × 4096, against what bounds it: copying that weight in memory.
 *
 *     deno run -A bench/kernel.ts [rounds]
 *
 * Every round runs every case once, so that a busy neighbour slows all of them alike; a ratio is the median over the
 * rounds of (case / its reference in the same round). Rows are transformed in tiles of 1 MB, as the merge loop does,
 * walking over the whole weight, which no cache holds together with its copy. GB/s count each byte of the weight once.
 */
import type { Address, LeftUpdate, RightReflection } from "../runtime/kernel/kernel.ts";
import { vectorByteLength } from "../runtime/kernel/kernel.ts";
import { WasmKernel } from "../runtime/kernel/wasm.ts";
import { elementByteLength, FLOAT_DTYPES, type FloatDtype } from "../runtime/safetensors/dtype.ts";

const DIM = 4096;
const TILE_BYTES = 1 << 20;
const SEGMENT_ROWS = 128;

/** Something to time: `run` goes once over `byteLength` bytes. */
export interface Case {
  readonly name: string;
  readonly byteLength: number;
  run(): void;
}

/** A case's times, one for each round. */
export interface Timing {
  readonly name: string;
  readonly byteLength: number;
  readonly seconds: readonly number[];
}

/** One line of the gates: a case against its reference. */
export interface Gate {
  readonly name: string;
  readonly case: string;
  readonly reference: string;
  /** The ratio of speeds that must hold on this class of machine, and the one to aim for. */
  readonly gate: number;
  readonly goal: number;
}

/** Runs every case once per round, after one round to warm up. */
export function measure(cases: readonly Case[], rounds: number): Timing[] {
  const seconds = cases.map((): number[] => []);
  for (let round = -1; round < rounds; round++) {
    cases.forEach((item, index) => {
      const start = performance.now();
      item.run();
      const elapsed = (performance.now() - start) / 1000;
      if (round >= 0) seconds[index]!.push(elapsed);
    });
  }
  return cases.map(({ name, byteLength }, index) => ({ name, byteLength, seconds: seconds[index]! }));
}

/** The middle value. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

/** How many times faster a case handles its bytes than its reference: the median over the rounds. */
export function speedRatio(timing: Timing, reference: Timing): number {
  const bytes = timing.byteLength / reference.byteLength;
  return median(timing.seconds.map((seconds, round) => bytes * reference.seconds[round]! / seconds));
}

/** Columns as wide as their widest cell; the first to the left, the others to the right. */
export function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  for (const row of rows) {
    console.log(row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join("  "));
  }
}

/** One weight, its copy and the vectors of its adapters, in a kernel's memory. */
class Weight {
  readonly kernel = new WasmKernel();
  readonly #tile: Address;
  readonly #copy: Address;
  #free: Address;

  constructor() {
    const byteLength = DIM * DIM * 4;
    this.#tile = Math.ceil(this.kernel.base / 4096) * 4096;
    this.#copy = this.#tile + byteLength;
    this.#free = this.#copy + byteLength;
    this.kernel.reserve(this.#free + (64 << 20));
  }

  /** Fills the weight with numbers like a trained one's. Times do not depend on the numbers, as long as none is NaN. */
  fill(dtype: FloatDtype): void {
    const values = Float32Array.from({ length: DIM }, (_, index) => 0.02 * Math.sin(index * index));
    this.kernel.bytes.set(new Uint8Array(values.buffer), this.#copy);
    for (let row = 0; row < DIM; row++) {
      this.kernel.encode(dtype, this.#copy, DIM, this.#tile + row * DIM * elementByteLength(dtype));
    }
  }

  copy(byteLength: number): void {
    this.kernel.exports.copyBytes(this.#copy, this.#tile, byteLength);
  }

  scalar(numBlocks: number): () => void {
    const n = DIM / numBlocks;
    const u = this.#vectors("F32", 1, n);
    return () =>
      this.#tiles("BF16", 0, DIM, (tile, rowCount) => {
        this.kernel.exports.scalarRowsBF16(tile, rowCount, 2 * DIM, numBlocks, n, u, 2);
      });
  }

  /** W·H. */
  right(dtype: FloatDtype, numBlocks: number, vectors: 1 | 2): () => void {
    const right = this.#reflection(dtype, numBlocks, vectors);
    return () => this.#tiles(dtype, 0, DIM, (tile, rowCount) => this.#transform(dtype, tile, rowCount, right, null));
  }

  /** H̃·W, or H̃·W·H. */
  left(dtype: FloatDtype, numBlocks: number, vectors: 1 | 2, twoSided = false): () => void {
    const right = twoSided ? this.#reflection(dtype, numBlocks, vectors) : null;
    const rows = DIM / numBlocks;
    const p = this.#vectors("F32", numBlocks, rows);
    const q = vectors === 2 ? this.#vectors("F32", numBlocks, rows) : 0;
    const s64 = this.#take(8 * DIM), t64 = this.#take(8 * DIM), s = this.#take(4 * DIM), t = this.#take(4 * DIM);
    const scratch = this.#take(8 * DIM);
    const chunks = { chunkCount: right ? numBlocks : 1, chunkLength: right ? DIM / numBlocks : DIM };
    return () => {
      for (let block = 0; block < numBlocks; block++) {
        const first = block * rows;
        this.kernel.bytes.fill(0, s64, (q ? t64 : s64) + 8 * DIM);
        this.#tiles(dtype, first, rows, (tile, rowCount, row) => {
          this.kernel.reduceRows({
            dtype,
            tile,
            rowCount,
            rowStride: DIM * elementByteLength(dtype),
            columnCount: DIM,
            p: p + 4 * row,
            q: q && q + 4 * row,
            pSums: s64,
            qSums: q && t64,
            scratch,
          });
        });
        this.kernel.prepareSums({ dtype, sums: s64, ...chunks, right, scale: q ? 0.01 : 2, target: s });
        if (q) this.kernel.prepareSums({ dtype, sums: t64, ...chunks, right, scale: 0.01, target: t });
        this.#tiles(dtype, first, rows, (tile, rowCount, row) => {
          const left = { p: p + 4 * row, q: q && q + 4 * row, s, t: q && t, s64, t64: q && t64, exact: false };
          this.#transform(dtype, tile, rowCount, right, left, chunks);
        });
      }
    };
  }

  #transform(
    dtype: FloatDtype,
    tile: Address,
    rowCount: number,
    right: RightReflection | null,
    left: LeftUpdate | null,
    chunks = { chunkCount: DIM * 4 / right!.vectorStride, chunkLength: right!.vectorStride / 4 },
  ): void {
    const rowStride = DIM * elementByteLength(dtype);
    this.kernel.transformRows({ dtype, tile, rowCount, rowStride, ...chunks, right, left });
  }

  /** Calls `visit` for each tile of 1 MB of some rows; `row` is the tile's first. */
  #tiles(
    dtype: FloatDtype,
    first: number,
    count: number,
    visit: (tile: Address, rowCount: number, row: number) => void,
  ): void {
    const rowBytes = DIM * elementByteLength(dtype);
    const step = Math.min(TILE_BYTES / rowBytes, SEGMENT_ROWS);
    for (let row = first; row < first + count; row += step) {
      visit(this.#tile + row * rowBytes, Math.min(step, first + count - row), row);
    }
  }

  /** ETHER with coefficient 2; ETHER+ with small ones, so that the weight survives many rounds. */
  #reflection(dtype: FloatDtype, numBlocks: number, vectors: 1 | 2): RightReflection {
    const n = DIM / numBlocks;
    const u = this.#vectors(dtype, numBlocks, n);
    if (vectors === 1) return { u, v: 0, vectorStride: vectorByteLength(n), alpha: 2, beta: 0 };
    return { u, v: this.#vectors(dtype, numBlocks, n), vectorStride: vectorByteLength(n), alpha: 0.01, beta: 0.01 };
  }

  #vectors(dtype: FloatDtype, count: number, length: number): Address {
    const address = this.#take(count * vectorByteLength(length));
    const values = Float32Array.from({ length: count * length }, (_, index) => index % 3 - 1);
    for (let start = 0; start < values.length; start += length) {
      const vector = values.subarray(start, start + length);
      const norm = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
      vector.forEach((x, index) => vector[index] = x / norm);
    }
    this.kernel.writeVectors(dtype, address, values, length);
    return address;
  }

  #take(byteLength: number): Address {
    const address = this.#free;
    this.#free += Math.ceil(byteLength / 64) * 64;
    return address;
  }
}

const caseName = (dtype: FloatDtype, side: string, numBlocks: number) => `${dtype} ${side} nb=${numBlocks}`;

const GATES: readonly Gate[] = [
  ...[1, 4, 32].map((nb) => ({
    name: `BF16 in nb=${nb} / copy`,
    case: caseName("BF16", "in", nb),
    reference: "copy BF16",
    gate: nb === 32 ? 0.40 : 0.30,
    goal: nb === 32 ? 0.64 : 0.51,
  })),
  ...[1, 32].map((nb) => ({
    name: `BF16 out nb=${nb} / copy`,
    case: caseName("BF16", "out", nb),
    reference: "copy BF16",
    gate: nb === 32 ? 0.38 : 0.30,
    goal: nb === 32 ? 0.54 : 0.40,
  })),
  ...(["F32", "F16"] as const).flatMap((dtype) =>
    ["in", "out"].map((side) => ({
      name: `${dtype} ${side} nb=32 / copy`,
      case: caseName(dtype, side, 32),
      reference: `copy ${dtype}`,
      gate: dtype === "F32" ? 0.65 : 0.20,
      goal: dtype === "F32" ? 1.0 : 0.30,
    }))
  ),
  { name: "BF16 in nb=32 / scalar loop", case: "BF16 in nb=32", reference: "BF16 in nb=32 scalar", gate: 5, goal: 7.5 },
  { name: "ETHER+ in / ETHER in", case: "BF16 in+ nb=32", reference: "BF16 in nb=32", gate: 0.6, goal: 0.7 },
  {
    name: "ETHER+ in, out / ETHER out",
    case: "BF16 in,out+ nb=32",
    reference: "BF16 out nb=32",
    gate: 0.28,
    goal: 0.5,
  },
];

/** All of the kernel's cases, dtype by dtype: they share one memory. */
export function measureKernel(rounds: number): Timing[] {
  const weight = new Weight();
  return FLOAT_DTYPES.flatMap((dtype) => {
    const byteLength = DIM * DIM * elementByteLength(dtype);
    const cases: Case[] = [{ name: `copy ${dtype}`, byteLength, run: () => weight.copy(byteLength) }];
    const add = (side: string, numBlocks: number, run: () => void) =>
      cases.push({ name: caseName(dtype, side, numBlocks), byteLength, run });
    for (const numBlocks of [1, 4, 32]) {
      add("in", numBlocks, weight.right(dtype, numBlocks, 1));
      add("out", numBlocks, weight.left(dtype, numBlocks, 1));
    }
    add("in+", 32, weight.right(dtype, 32, 2));
    add("out+", 32, weight.left(dtype, 32, 2));
    add("in,out", 32, weight.left(dtype, 32, 1, true));
    add("in,out+", 32, weight.left(dtype, 32, 2, true));
    if (dtype === "BF16") cases.push({ name: "BF16 in nb=32 scalar", byteLength, run: weight.scalar(32) });
    weight.fill(dtype);
    return measure(cases, rounds);
  });
}

/** Measures and prints: the rates, then the ratios that must hold. */
export function benchKernel(args: string[]): void {
  const rounds = Number(args[0] ?? 11);
  const timings = measureKernel(rounds);
  const timing = (name: string) => timings.find((item) => item.name === name)!;
  const speed = ({ byteLength }: Timing, seconds: number) => (byteLength / seconds / 1e9).toFixed(2);
  console.log(`W [${DIM}, ${DIM}], ${rounds} interleaved rounds; GB/s\n`);
  printTable([
    ["case", "median", "best", "/ copy"],
    ...timings.map((item) => [
      item.name,
      speed(item, median(item.seconds)),
      speed(item, Math.min(...item.seconds)),
      speedRatio(item, timing(`copy ${item.name.match(/F32|BF16|F16/)![0]}`)).toFixed(2),
    ]),
  ]);
  console.log();
  printTable([
    ["ratio", "now", "gate", "goal", ""],
    ...GATES.map((item) => {
      const ratio = speedRatio(timing(item.case), timing(item.reference));
      const verdict = ratio < item.gate ? "FAILS" : ratio < item.goal ? "holds" : "goal";
      return [item.name, ratio.toFixed(2), item.gate.toFixed(2), item.goal.toFixed(2), verdict];
    }),
  ]);
}

if (import.meta.main) benchKernel(Deno.args);
