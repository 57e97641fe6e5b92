/**
 * What the authors' modules do, as their code says it: dense blocks, einsum over a reshaped buffer, on lit-gpt's
 * matrices. In float64, and with nothing of ours in it.
 */

/** `Htype`. */
export type Htype = "ether" | "etherplus" | "etherplusHH" | "oft";

/** A matrix `[rows, columns]`, row-major. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float64Array;
}

/** R, R2, R3, R4 of one module: `[nb, n]`, or `[nb, n, n]` of oft. */
export interface Parameters {
  readonly numBlocks: number;
  readonly values: readonly Float64Array[];
}

/** H `[nb, n, n]` of `ETHERLayer.ether`, `etherplus` or `oft`. */
function blocks(type: Htype, numBlocks: number, first: Float64Array, second: Float64Array | undefined): Float64Array[] {
  return Array.from({ length: numBlocks }, (_, r) => {
    if (type === "oft") return cayley(first.subarray(r * first.length / numBlocks, (r + 1) * first.length / numBlocks));
    const n = first.length / numBlocks;
    const h = identity(n);
    const add = (factor: number, vector: Float64Array) => {
      const norm = vector.reduce((sum, x) => sum + x * x, 0);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) h[i * n + j]! += factor * vector[i]! * vector[j]! / norm;
      }
    };
    add(type === "ether" ? -2 : -1, first.subarray(r * n, (r + 1) * n));
    if (second !== undefined) add(1, second.subarray(r * n, (r + 1) * n));
    return h;
  });
}

function identity(n: number): Float64Array {
  return Float64Array.from({ length: n * n }, (_, i) => i % (n + 1) === 0 ? 1 : 0);
}

/** (I + S)(I − S)⁻¹, by solving Q (I − S) = I + S from the right. */
function cayley(r: Float64Array): Float64Array {
  const n = Math.sqrt(r.length);
  // Gauss–Jordan on (I − S)ᵀ Qᵀ = (I + S)ᵀ.
  const a = identity(n);
  const b = identity(n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const s = (r[i * n + j]! - r[j * n + i]!) / 2;
      a[j * n + i]! -= s;
      b[j * n + i]! += s;
    }
  }
  for (let p = 0; p < n; p++) {
    const pivot = a[p * n + p]!;
    for (let j = 0; j < n; j++) {
      a[p * n + j]! /= pivot;
      b[p * n + j]! /= pivot;
    }
    for (let i = 0; i < n; i++) {
      if (i === p) continue;
      const factor = a[i * n + p]!;
      for (let j = 0; j < n; j++) {
        a[i * n + j]! -= factor * a[p * n + j]!;
        b[i * n + j]! -= factor * b[p * n + j]!;
      }
    }
  }
  return Float64Array.from({ length: n * n }, (_, i) => b[(i % n) * n + Math.floor(i / n)]!);
}

/** `filt.reshape(nb, f, d//nb)`, `einsum('rfm,rmn->rfn')`. */
function direct({ rows, columns, values }: Matrix, h: readonly Float64Array[]): Matrix {
  const n = columns / h.length;
  const result = new Float64Array(values.length);
  for (let r = 0; r < h.length; r++) {
    for (let f = 0; f < rows; f++) {
      const at = (r * rows + f) * n;
      for (let m = 0; m < n; m++) {
        for (let j = 0; j < n; j++) result[at + j]! += values[at + m]! * h[r]![m * n + j]!;
      }
    }
  }
  return { rows, columns, values: result };
}

/** `filt.reshape(nb, f//nb, d)`, `einsum('rnm,rmd->rnd')`. */
function transposed({ rows, columns, values }: Matrix, h: readonly Float64Array[]): Matrix {
  const n = rows / h.length;
  const result = new Float64Array(values.length);
  for (let r = 0; r < h.length; r++) {
    for (let i = 0; i < n; i++) {
      for (let m = 0; m < n; m++) {
        for (let d = 0; d < columns; d++) {
          result[(r * n + i) * columns + d]! += h[r]![i * n + m]! * values[(r * n + m) * columns + d]!;
        }
      }
    }
  }
  return { rows, columns, values: result };
}

/** `ETHERLinear.merge`. */
export function mergeLinear(w: Matrix, type: Htype, { numBlocks, values }: Parameters, flipSide = false): Matrix {
  const h = blocks(type, numBlocks, values[0]!, values[1]);
  if (type !== "etherplusHH") return flipSide ? transposed(w, h) : direct(w, h);
  return transposed(direct(w, h), blocks(type, numBlocks, values[2]!, values[3]));
}

/** `ETHERQKVLinear.merge` of one part's rows: the parts do not mix. */
export function mergePart(rows: Matrix, type: Htype, { numBlocks, values }: Parameters): Matrix {
  const out = transposed(rows, blocks(type, numBlocks, values[0]!, values[1]));
  return type === "etherplusHH" ? direct(out, blocks(type, numBlocks, values[2]!, values[3])) : out;
}
