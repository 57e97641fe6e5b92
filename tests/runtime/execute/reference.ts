/**
 * ETHER, ETHER+ and OFT in f64, as `arXiv 2405.20271` and its reference code say them: dense blocks, no shortcut of the
 * runtime's. A matrix is W `[out, in]`, row-major.
 */

/** What one side of one adapter says, decoded: vectors `[numBlocks, n]`, or R `[numBlocks, n, n]`. */
export interface ReferenceSide {
  readonly u: Float64Array;
  /** ETHER+ only. */
  readonly v: Float64Array | null;
}

/** One adapter on one matrix, or on one part of a fused one. */
export interface ReferenceAdapter {
  readonly variant: "ether" | "etherplus" | "oft";
  readonly layout: "paper" | "reference";
  readonly numBlocks: number;
  readonly strength: number;
  readonly input: ReferenceSide | null;
  readonly output: ReferenceSide | null;
}

/** W' of one adapter, exact but for f64. */
export function transformReference(
  w: Float64Array,
  [outer, inner]: readonly [number, number],
  adapter: ReferenceAdapter,
): Float64Array {
  let result: Float64Array = w;
  if (adapter.input !== null) result = transformInput(result, outer, inner, adapter, adapter.input);
  if (adapter.output !== null) result = transformOutput(result, outer, inner, adapter, adapter.output);
  return result;
}

/** W·H: by columns in the paper's layout, by `reshape(numBlocks, out, in / numBlocks)` in the reference code's. */
function transformInput(
  w: Float64Array,
  outer: number,
  inner: number,
  adapter: ReferenceAdapter,
  side: ReferenceSide,
): Float64Array {
  const n = inner / adapter.numBlocks;
  const result = new Float64Array(w.length);
  for (let block = 0; block < adapter.numBlocks; block++) {
    const h = denseBlock(adapter, side, block, n);
    for (let row = 0; row < outer; row++) {
      const start = adapter.layout === "paper" ? row * inner + block * n : (block * outer + row) * n;
      for (let j = 0; j < n; j++) {
        for (let k = 0; k < n; k++) result[start + j]! += w[start + k]! * h[k * n + j]!;
      }
    }
  }
  return result;
}

/** H·W: rows by `reshape(numBlocks, out / numBlocks, in)`, in both layouts. */
function transformOutput(
  w: Float64Array,
  outer: number,
  inner: number,
  adapter: ReferenceAdapter,
  side: ReferenceSide,
): Float64Array {
  const n = outer / adapter.numBlocks;
  const result = new Float64Array(w.length);
  for (let block = 0; block < adapter.numBlocks; block++) {
    const h = denseBlock(adapter, side, block, n);
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < n; k++) {
        for (let column = 0; column < inner; column++) {
          result[(block * n + i) * inner + column]! += h[i * n + k]! * w[(block * n + k) * inner + column]!;
        }
      }
    }
  }
  return result;
}

/** H = I − 2a·ûûᵀ, H⁺ = I + a(v̂v̂ᵀ − ûûᵀ), or Q = (I + S)(I − S)⁻¹ with S = (R − Rᵀ)/2. `[n, n]` */
export function denseBlock(
  { variant, strength }: Pick<ReferenceAdapter, "variant" | "strength">,
  { u, v }: ReferenceSide,
  block: number,
  n: number,
): Float64Array {
  if (variant === "oft") return cayleyReference(u.subarray(block * n * n, (block + 1) * n * n), n);
  const h = identity(n);
  const direction = unit(u.subarray(block * n, (block + 1) * n));
  const other = v === null ? null : unit(v.subarray(block * n, (block + 1) * n));
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const reflected = direction[i]! * direction[j]!;
      h[i * n + j]! += variant === "ether"
        ? -2 * strength * reflected
        : strength * (other![i]! * other![j]! - reflected);
    }
  }
  return h;
}

/** By Gauss–Jordan elimination on [(I − S)ᵀ | (I + S)ᵀ], largest pivot first: X(I − S) = I + S. */
function cayleyReference(r: Float64Array, n: number): Float64Array {
  const width = 2 * n;
  const a = new Float64Array(n * width);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const s = (r[j * n + i]! - r[i * n + j]!) / 2;
      a[i * width + j] = Number(i === j) - s;
      a[i * width + n + j] = Number(i === j) + s;
    }
  }
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let row = column; row < n; row++) {
      if (Math.abs(a[row * width + column]!) > Math.abs(a[pivot * width + column]!)) pivot = row;
    }
    for (let j = 0; j < width; j++) {
      const value = a[pivot * width + j]!;
      a[pivot * width + j] = a[column * width + j]!;
      a[column * width + j] = value;
    }
    const scale = a[column * width + column]!;
    for (let j = 0; j < width; j++) a[column * width + j]! /= scale;
    for (let row = 0; row < n; row++) {
      const factor = a[row * width + column]!;
      if (row === column || factor === 0) continue;
      for (let j = 0; j < width; j++) a[row * width + j]! -= factor * a[column * width + j]!;
    }
  }
  return Float64Array.from({ length: n * n }, (_, at) => a[(at % n) * width + n + Math.floor(at / n)]!);
}

function identity(n: number): Float64Array {
  return Float64Array.from({ length: n * n }, (_, at) => Number(at % (n + 1) === 0));
}

/** Scaled by the largest magnitude first, as 1e-200 squared is nothing in f64 either. */
function unit(values: Float64Array): Float64Array {
  const largest = values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const scaled = values.map((x) => x / largest);
  const norm = Math.sqrt(scaled.reduce((sum, x) => sum + x * x, 0));
  return scaled.map((x) => x / norm);
}
