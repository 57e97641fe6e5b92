/** a[j] = Σ p[i]·w[i,j] over a segment of rows: {@link reduceRows}. */
import type { Address, ReduceJob } from "../kernel.ts";
import type { Memory } from "./memory.ts";

/** See {@link ReduceJob}. One call is one segment. */
export function reduceRows(memory: Memory, job: ReduceJob): void {
  const rows = Array.from(
    { length: job.rowCount },
    (_, row) => memory.elements(job.dtype, job.tile + row * job.rowStride, job.columnCount),
  );
  const sides: { coefficients: Float32Array; sums: Address }[] = [];
  const side = (p: Address, sums: Address) =>
    sides.push({ coefficients: Float32Array.from(rows, (_, row) => memory.f32(p + 4 * row)), sums });
  side(job.p, job.pSums);
  if (job.q) side(job.q, job.qSums);

  // f32, rows in increasing order; if any sum of the call is not finite, all of them in f64 instead. The sums are
  // of 2^60·p, but for F16: no product of an F32 or BF16 is then so small that f32 loses digits of it.
  const scale = job.dtype === "F16" ? 1 : 2 ** 60;
  let results: (Float32Array | Float64Array)[] = sides.map(({ coefficients }) => {
    const a = new Float32Array(job.columnCount);
    rows.forEach((row, i) => row.forEach((w, j) => a[j] = a[j]! + Math.fround(scale * coefficients[i]! * w)));
    return a;
  });
  if (results.every((a) => a.every(Number.isFinite))) {
    results = results.map((a) => Float64Array.from(a, (value) => value / scale));
  } else {
    results = sides.map(({ coefficients }) => {
      const a = new Float64Array(job.columnCount);
      rows.forEach((row, i) => row.forEach((w, j) => a[j] = a[j]! + coefficients[i]! * w));
      return a;
    });
  }
  results.forEach((a, index) => {
    const { sums } = sides[index]!;
    a.forEach((value, j) => memory.setF64(sums + 8 * j, memory.f64(sums + 8 * j) + value));
  });
}
