/**
 * Q = (I + S)(I − S)⁻¹ with S = (R − Rᵀ)/2, the orthogonal block of the `oft` variant (Cayley; arXiv 2405.20271, §2).
 *
 * In f64, by Gaussian elimination with partial pivoting: S is skew, so that I − S has no singular value below 1. Its
 * condition is ‖S‖: R of 1e7, a million times what training gives, still leaves all digits of an f32.
 *
 * @param r f32 `[n, n]`
 * @returns f32 `[n, n]`, each value rounded once; Qᵀ where `transposed`
 */
export function cayley(r: Float32Array, n: number, transposed: boolean): Float32Array<ArrayBuffer> {
  // Q commutes: (I − S)·Q = I + S. Qᵀ is Q of −S.
  const left = new Float64Array(n * n);
  const right = new Float64Array(n * n);
  const sign = transposed ? -1 : 1;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const s = sign * (r[i * n + j]! - r[j * n + i]!) / 2;
      const identity = i === j ? 1 : 0;
      left[i * n + j] = identity - s;
      right[i * n + j] = identity + s;
    }
  }
  solveInPlace(left, right, n);
  return Float32Array.from(right);
}

/** X with A·X = B, left in `b`; `a` is used up. f64 `[n, n]` each. */
function solveInPlace(a: Float64Array, b: Float64Array, n: number): void {
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let row = column + 1; row < n; row++) {
      if (Math.abs(a[row * n + column]!) > Math.abs(a[pivot * n + column]!)) pivot = row;
    }
    if (pivot !== column) {
      swapRows(a, pivot, column, n);
      swapRows(b, pivot, column, n);
    }
    const scale = a[column * n + column]!;
    for (let row = column + 1; row < n; row++) {
      const factor = a[row * n + column]! / scale;
      if (factor === 0) continue;
      for (let j = column; j < n; j++) a[row * n + j]! -= factor * a[column * n + j]!;
      for (let j = 0; j < n; j++) b[row * n + j]! -= factor * b[column * n + j]!;
    }
  }
  for (let row = n - 1; row >= 0; row--) {
    for (let k = row + 1; k < n; k++) {
      const factor = a[row * n + k]!;
      if (factor === 0) continue;
      for (let j = 0; j < n; j++) b[row * n + j]! -= factor * b[k * n + j]!;
    }
    for (let j = 0; j < n; j++) b[row * n + j]! /= a[row * n + row]!;
  }
}

function swapRows(matrix: Float64Array, i: number, j: number, n: number): void {
  const row = matrix.slice(i * n, (i + 1) * n);
  matrix.copyWithin(i * n, j * n, (j + 1) * n);
  matrix.set(row, j * n);
}
