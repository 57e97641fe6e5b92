/** Unit vectors from the un-normalised ones that an adapter stores. */

/**
 * û = u/‖u‖ for each of the vectors, f32 `[count, length]`, in place.
 *
 * Each is scaled by its largest magnitude before it is squared, so that 1e-30 and 1e30 work; the norm is taken in f64
 * and each value rounded once. No vector may be all zero or hold a NaN or an infinity: {@link checkVectors} comes first.
 */
export function toUnitVectors(values: Float32Array, length: number): void {
  for (let start = 0; start < values.length; start += length) {
    let largest = 0;
    for (let i = start; i < start + length; i++) largest = Math.max(largest, Math.abs(values[i]!));
    let squares = 0;
    for (let i = start; i < start + length; i++) {
      const scaled = values[i]! / largest;
      squares += scaled * scaled;
    }
    const norm = Math.sqrt(squares);
    for (let i = start; i < start + length; i++) values[i] = values[i]! / largest / norm;
  }
}

/** What {@link checkVectors} finds first, or null. */
export type VectorFault = { readonly code: "zero_vector" | "nonfinite_vector"; readonly block: number };

/** Looks for a vector without a direction. f32 `[count, length]`. */
export function checkVectors(values: Float32Array, length: number): VectorFault | null {
  for (let start = 0; start < values.length; start += length) {
    let nonzero = false;
    for (let i = start; i < start + length; i++) {
      if (!Number.isFinite(values[i])) return { code: "nonfinite_vector", block: start / length };
      nonzero ||= values[i] !== 0;
    }
    if (!nonzero) return { code: "zero_vector", block: start / length };
  }
  return null;
}

/**
 * True where every v is a multiple of its u: then I − ûûᵀ + v̂v̂ᵀ is the identity, as before the first step of training.
 * Products of two f32 values are exact in f64.
 */
export function cancelOut(u: Float32Array, v: Float32Array, length: number): boolean {
  for (let start = 0; start < u.length; start += length) {
    let pivot = start;
    for (let i = start; i < start + length; i++) {
      if (Math.abs(u[i]!) > Math.abs(u[pivot]!)) pivot = i;
    }
    for (let i = start; i < start + length; i++) {
      if (v[i]! * u[pivot]! !== u[i]! * v[pivot]!) return false;
    }
  }
  return true;
}
