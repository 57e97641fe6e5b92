/** Sums whose order all kernels share. */

const SEGMENT = 512;

/**
 * Σ w[e]·u[e] in f32. Eight strided partial sums, k = e mod 8, run over a segment of 512 elements and are then added to
 * eight totals: no chain is longer than 64 terms. The totals are added by halves: k + 4, then k + 2, then k + 1.
 */
export function dot(w: Float32Array, u: Float32Array): number {
  const totals = new Float32Array(8);
  for (let start = 0; start < w.length; start += SEGMENT) {
    const partial = new Float32Array(8);
    for (let e = start; e < Math.min(start + SEGMENT, w.length); e++) {
      partial[e & 7] = partial[e & 7]! + Math.fround(w[e]! * u[e]!);
    }
    for (let k = 0; k < 8; k++) totals[k] = totals[k]! + partial[k]!;
  }
  for (const half of [4, 2, 1]) {
    for (let k = 0; k < half; k++) totals[k] = totals[k]! + totals[k + half]!;
  }
  return totals[0]!;
}

/** The same in f64, with the totals alone: 29 more bits make up for longer chains. */
export function exactDot(x: Float32Array | Float64Array, u: Float32Array): number {
  const totals = new Float64Array(8);
  x.forEach((value, e) => totals[e & 7] = totals[e & 7]! + value * u[e]!);
  for (const half of [4, 2, 1]) {
    for (let k = 0; k < half; k++) totals[k] = totals[k]! + totals[k + half]!;
  }
  return totals[0]!;
}
