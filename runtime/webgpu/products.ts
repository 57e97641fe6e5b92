/** Products of resident weights and activations, as dispatches. */
import type { Address } from "../kernel/kernel.ts";
import { elementByteLength } from "../safetensors/dtype.ts";
import type { DeviceJob, Operand } from "./device_job.ts";
import type { Gpu } from "./gpu.ts";
import type { Interval } from "./intervals.ts";
import type { ResidentWeight } from "./resident_weights.ts";

/** Up to this many columns reading W is what takes the time. */
const FEW_COLUMNS = 16;
/** Columns that one dispatch of `product_few` takes. */
const FEW = 4;

/** Bytes of a buffer for the inputs of this many columns. */
export function inputByteLength({ padded }: ResidentWeight, columnCount: number): number {
  return paddedColumns(columnCount) * padded * 4;
}

/** Brings columns, f32 `[count, in]` in the kernel's memory, into the buffer that products read. */
export function inputJob(
  gpu: Gpu,
  { inCount, padded }: ResidentWeight,
  { address, count }: { readonly address: Address; readonly count: number },
  inputs: GPUBuffer,
): DeviceJob {
  const width = padded / 4;
  const paddedCount = paddedColumns(count);
  return {
    ...{ shader: "place_inputs", dtype: "F32", workgroups: Math.ceil(paddedCount * width / 64) },
    operands: [{ address, byteLength: count * inCount * 4, access: "read" }],
    numbers: ({ at, grid }) => [at(0) / 4, count, inCount, width, paddedCount, grid],
    extra: gpu.device.createBindGroup({
      layout: gpu.extraLayouts.written,
      entries: [{ binding: 0, resource: { buffer: inputs } }],
    }),
  };
}

/** Where products go. */
export interface ProductTarget {
  /** u32 `[columnCount]`: where a column's first value goes, in words from the beginning of `frames`. */
  readonly table: Address;
  readonly columnCount: number;
  /** Memory that all products together fill. */
  readonly frames: Interval;
}

/** Rows `[from, to)` of W times the columns in `inputs`. */
export function productJobs(
  gpu: Gpu,
  { dtype, padded, slabs }: ResidentWeight,
  { from, to }: { readonly from: number; readonly to: number },
  inputs: GPUBuffer,
  { table, columnCount, frames }: ProductTarget,
): DeviceJob[] {
  const operands: Operand[] = [
    { address: table, byteLength: columnCount * 4, access: "read" },
    // Every row of every frame is written before anyone reads it.
    { address: frames.start, byteLength: frames.end - frames.start, access: "write" },
  ];
  const rowStride = padded * elementByteLength(dtype) / 16;
  const few = columnCount <= FEW_COLUMNS;
  const step = few ? FEW : columnCount;
  const jobs: DeviceJob[] = [];
  for (const slab of slabs) {
    const first = Math.max(from, slab.firstRow);
    const rowCount = Math.min(to, slab.firstRow + slab.rowCount) - first;
    if (rowCount <= 0) continue;
    const extra = gpu.device.createBindGroup({
      layout: gpu.extraLayouts.product,
      entries: [
        { binding: 0, resource: { buffer: inputs } },
        { binding: 1, resource: { buffer: slab.buffer } },
      ],
    });
    const rows = [(first - slab.firstRow) * rowStride, rowStride, rowCount, first - from, padded / 4];
    for (let column = 0; column < columnCount; column += step) {
      const columns = Math.min(step, columnCount - column);
      jobs.push({
        ...{ shader: few ? "product_few" : "product_many", dtype, operands, extra },
        workgroups: few ? Math.ceil(rowCount / 4) : Math.ceil(rowCount / 64) * Math.ceil(columns / 64),
        numbers: ({ at, grid }) => [...rows, column, columns, at(0) / 4, at(1) / 4, grid],
      });
    }
  }
  return jobs;
}

/** Shaders read whole vectors of four columns. */
function paddedColumns(count: number): number {
  return Math.max(4, Math.ceil(count / 4) * 4);
}
