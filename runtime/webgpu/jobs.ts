/** The kernel's jobs as dispatches: one file of `shaders/` each, and how large jobs are split. */
import { bitsOf } from "../kernel/element.ts";
import {
  type Address,
  type CopyRowsJob,
  type MatmulJob,
  type ReduceJob,
  type RowsJob,
  vectorByteLength,
} from "../kernel/kernel.ts";
import { elementByteLength, type FloatDtype } from "../safetensors/dtype.ts";
import type { DeviceJob, Operand, Places } from "./device_job.ts";

/** `NONE` of elements.wgsl. */
const NONE = 0xffffffff;
/** Invocations of a workgroup. */
const LANES = 64;
/** Rows and columns of a product that a workgroup makes. */
const SIDE = 16;

/** Coefficients must stay below this, as in the other kernels: bits of 2^125, and of 2^40 for F16. */
const LIMITS: Readonly<Record<FloatDtype, number>> = { F32: 2 ** 125, BF16: 2 ** 125, F16: 2 ** 40 };

/** Operands by name: their places in the list, and in the shader's memory. */
class Operands {
  readonly list: Operand[] = [];

  /** Adds one and answers how a job finds it, in units of `unit` bytes; an address of 0 is none. */
  add(address: Address, byteLength: number, access: Operand["access"], unit = 4): (places: Places) => number {
    if (address === 0) return () => NONE;
    const index = this.list.push({ address, byteLength, access }) - 1;
    return (places) => places.at(index) / unit;
  }

  get byteLength(): number {
    // Copies begin at multiples of 256.
    return this.list.reduce((sum, { byteLength }) => sum + byteLength + 512, 0);
  }
}

/**
 * `row_dots` and `row_update`. null where elements do not lie as shaders can reach them, where f32 does not do, or where
 * even one row does not fit.
 *
 * @param most  bytes of a binding
 */
export function lowerRows(job: RowsJob, most: number): DeviceJob[] | null {
  const { dtype, rowCount, rowStride, chunkCount, chunkLength, right, left } = job;
  if ((!right && !left) || rowCount === 0) return [];
  const unit = elementByteLength(dtype);
  if (job.tile % unit !== 0 || rowStride % unit !== 0 || left?.exact) return null;
  const columns = chunkCount * chunkLength;
  const byteLength = (rowCount - 1) * rowStride + columns * unit;
  const dots = right === null ? 0 : 2 * rowCount * chunkCount;
  const vector = vectorByteLength(chunkLength);
  const vectorBytes = right === null ? 0 : (chunkCount - 1) * right.vectorStride + vector;
  const sumsBytes = chunkCount * vector;

  const operands = new Operands();
  const tile = operands.add(job.tile, byteLength, "update", unit);
  const u = operands.add(right?.u ?? 0, vectorBytes, "read");
  const v = operands.add(right?.v ?? 0, vectorBytes, "read");
  const p = operands.add(left?.p ?? 0, 4 * rowCount, "read");
  const q = operands.add(left?.q ?? 0, 4 * rowCount, "read");
  const s = operands.add(left?.s ?? 0, sumsBytes, "read");
  const t = operands.add(left?.q ? left.t : 0, sumsBytes, "read");
  if (operands.byteLength > most || 4 * dots > most) {
    if (rowCount === 1) return null;
    const half = Math.floor(rowCount / 2);
    return both(lowerRows(rowsOf(job, 0, half), most), lowerRows(rowsOf(job, half, rowCount - half), most));
  }
  const rows = [rowCount, rowStride / unit, chunkCount, chunkLength];
  const vectorStride = (right?.vectorStride ?? 0) / 4;
  const update = (places: Places) => {
    const first = places.at(0);
    const firstWord = Math.floor(first / 4);
    const wordCount = Math.ceil((first + byteLength) / 4) - firstWord;
    return [
      ...[tile(places), ...rows, u(places), v(places), vectorStride, p(places), q(places), s(places), t(places)],
      ...[vector / 4, firstWord, wordCount, places.grid],
    ];
  };
  const shared = { dtype, operands: operands.list, passedOn: dots };
  const words = Math.ceil((byteLength + 6) / 4);
  const jobs: DeviceJob[] = [{
    ...{ ...shared, shader: "row_update", workgroups: Math.ceil(words / LANES), numbers: update },
  }];
  if (right === null) return jobs;
  const limit = bitsOf(LIMITS[dtype]);
  jobs.unshift({
    ...{ ...shared, shader: "row_dots", workgroups: rowCount * chunkCount },
    numbers: (places) => [
      ...[tile(places), ...rows, u(places), v(places), vectorStride],
      ...[bitsOf(right.alpha), bitsOf(right.beta), limit, places.grid],
    ],
  });
  return jobs;
}

/** `column_sums`; see {@link lowerRows}. The sums are added to the job's, in f64, when they are there. */
export function lowerReduce(job: ReduceJob, most: number, memory: () => ArrayBuffer): DeviceJob[] | null {
  const { dtype, rowCount, rowStride, columnCount } = job;
  if (rowCount === 0 || columnCount === 0) return [];
  const unit = elementByteLength(dtype);
  if (job.tile % unit !== 0 || rowStride % unit !== 0) return null;
  const operands = new Operands();
  const tile = operands.add(job.tile, (rowCount - 1) * rowStride + columnCount * unit, "read", unit);
  const p = operands.add(job.p, 4 * rowCount, "read");
  const q = operands.add(job.q, 4 * rowCount, "read");
  const sides = job.q === 0 ? [job.pSums] : [job.pSums, job.qSums];
  if (operands.byteLength > most || 4 * sides.length * columnCount > most) {
    if (rowCount === 1) return null;
    const half = Math.floor(rowCount / 2);
    const part = (row: number, count: number): ReduceJob => {
      const q = job.q === 0 ? 0 : job.q + 4 * row;
      return { ...job, tile: job.tile + row * rowStride, rowCount: count, p: job.p + 4 * row, q };
    };
    return both(lowerReduce(part(0, half), most, memory), lowerReduce(part(half, rowCount - half), most, memory));
  }
  const scale = dtype === "F16" ? 1 : 2 ** 60;
  return [{
    ...{ shader: "column_sums", dtype, operands: operands.list, workgroups: Math.ceil(columnCount / LANES) },
    numbers: (places) => [
      ...[tile(places), rowCount, rowStride / unit, columnCount, p(places), q(places)],
      ...[bitsOf(scale), places.results, places.grid],
    ],
    sums: {
      count: sides.length * columnCount,
      done(values) {
        for (const [side, address] of sides.entries()) {
          const sums = new Float64Array(memory(), address, columnCount);
          for (let j = 0; j < columnCount; j++) sums[j]! += values[side * columnCount + j]! / scale;
        }
      },
    },
  }];
}

/** `matmul`; see {@link lowerRows}. */
export function lowerMatmul(job: MatmulJob, most: number): DeviceJob[] | null {
  const { aStride, bStride, cStride, m, k, n } = job;
  if (m === 0 || n === 0) return [];
  if ([job.a, job.b, job.c, aStride, bStride, cStride].some((one) => one % 4 !== 0)) return null;
  const span = (rows: number, stride: number, columns: number) => (rows - 1) * stride + 4 * columns;
  const operands = new Operands();
  const a = operands.add(job.a, span(m, aStride, k), "read");
  const b = operands.add(job.b, span(k, bStride, n), "read");
  const c = operands.add(job.c, span(m, cStride, n), cStride === 4 * n ? "write" : "update");
  if (operands.byteLength > most) {
    if (m === 1) return null;
    const half = Math.floor(m / 2);
    const rest = { ...job, a: job.a + half * aStride, c: job.c + half * cStride, m: m - half };
    return both(lowerMatmul({ ...job, m: half }, most), lowerMatmul(rest, most));
  }
  const columns = Math.ceil(n / SIDE);
  return [{
    ...{ shader: "matmul", dtype: "F32", operands: operands.list, workgroups: Math.ceil(m / SIDE) * columns },
    numbers: (places) => [
      ...[a(places), aStride / 4, b(places), bStride / 4, c(places), cStride / 4, m, k, n, columns, places.grid],
    ],
  }];
}

/** `copy_rows`; see {@link lowerRows}. A source of 0 is zeros. */
export function lowerCopy(job: CopyRowsJob, most: number): DeviceJob[] | null {
  const { source, sourceStride, target, targetStride, rowCount, byteLength } = job;
  if (rowCount === 0 || byteLength === 0) return [];
  if ([source, sourceStride, target, targetStride, byteLength].some((one) => one % 4 !== 0)) return null;
  const operands = new Operands();
  const to = operands.add(
    target,
    (rowCount - 1) * targetStride + byteLength,
    rowCount === 1 || targetStride === byteLength ? "write" : "update",
  );
  const from = operands.add(source, (rowCount - 1) * sourceStride + byteLength, "read");
  if (operands.byteLength > most) {
    const apart = (first: number, rest: number, rows: number) => {
      const part = { ...job, source: source === 0 ? 0 : source + rest, target: target + first };
      return lowerCopy({ ...part, rowCount: rows }, most);
    };
    if (rowCount > 1) {
      const half = Math.floor(rowCount / 2);
      return both(apart(0, 0, half), apart(half * targetStride, half * sourceStride, rowCount - half));
    }
    const half = Math.floor(byteLength / 8) * 4;
    if (half === 0) return null;
    const rest = { ...job, source: source === 0 ? 0 : source + half, target: target + half };
    return both(
      lowerCopy({ ...job, byteLength: half }, most),
      lowerCopy({ ...rest, byteLength: byteLength - half }, most),
    );
  }
  return [{
    ...{ shader: "copy_rows", dtype: "F32", operands: operands.list },
    workgroups: Math.ceil(rowCount * byteLength / 4 / LANES),
    numbers: (places) => [
      ...[from(places), sourceStride / 4, to(places), targetStride / 4, rowCount, byteLength / 4, places.grid],
    ],
  }];
}

/** Rows `[row, row + rowCount)` of a job. */
function rowsOf(job: RowsJob, row: number, rowCount: number): RowsJob {
  const { left } = job;
  const ofRows = left && { ...left, p: left.p + 4 * row, q: left.q === 0 ? 0 : left.q + 4 * row };
  return { ...job, tile: job.tile + row * job.rowStride, rowCount, left: ofRows };
}

function both(a: DeviceJob[] | null, b: DeviceJob[] | null): DeviceJob[] | null {
  return a === null || b === null ? null : [...a, ...b];
}
