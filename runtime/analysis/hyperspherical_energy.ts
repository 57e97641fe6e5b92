/**
 * Hyperspherical energy of the neurons w_i of a matrix, before and after a change (arXiv 2306.07280; 2405.20271, fig. 7):
 *
 *     HE(W) = Σ_{i≠j} 1 / ‖ŵ_i − ŵ_j‖,   ŵ = w/‖w‖
 *
 * All neurons of a small matrix; of a large one a sample without repetition, the same neurons before and after. The
 * mean over the sample's pairs is an unbiased estimate of the mean over all pairs. Its standard error is the jackknife's:
 * the estimate without each neuron in turn. With few of many neurons that is right, with many of few it is too large.
 */
import { SeededDraw } from "./seeded_draw.ts";

/** An energy; `standardError` is 0 where every neuron was there. */
export interface Estimate {
  readonly value: number;
  readonly standardError: number;
}

/** The energy of a matrix before and after. */
export interface EnergyChange {
  readonly before: Estimate;
  readonly after: Estimate;
  /** (after − before) / before; of a sample closer than either, as both are of the same neurons. */
  readonly relativeChange: Estimate;
  /** How many neurons were looked at. */
  readonly neuronCount: number;
  /** True where these were all. */
  readonly exact: boolean;
}

/** What the pairs of one matrix may cost, in multiplications: about a tenth of a second, before and after. */
const MAX_MULTIPLICATIONS = 2 ** 27;
/** What neurons may take, in f32 values: 8 MiB before and as much after. */
const MAX_VALUES = 2 ** 21;
/** Fewer than this say nothing. */
const MIN_NEURONS = 16;

/** How many neurons of a length are looked at, at most. */
export function energySampleSize(neuronCount: number, neuronLength: number): number {
  const affordable = Math.min(Math.sqrt(2 * MAX_MULTIPLICATIONS / neuronLength), MAX_VALUES / neuronLength);
  return Math.min(neuronCount, Math.max(MIN_NEURONS, Math.floor(affordable)));
}

/** Neurons of a matrix, collected while it streams by. */
export class EnergySample {
  /** The chosen neurons, in order. */
  readonly indices: Int32Array<ArrayBuffer>;
  /** f32 `[indices.length, neuronLength]`, to be filled by the caller. */
  readonly before: Float32Array<ArrayBuffer>;
  /** The same after the change. */
  readonly after: Float32Array<ArrayBuffer>;
  readonly neuronCount: number;
  readonly neuronLength: number;

  constructor(neuronCount: number, neuronLength: number, seed: number, size?: number) {
    const count = size ?? energySampleSize(neuronCount, neuronLength);
    this.indices = new SeededDraw(seed).sample(count, neuronCount);
    this.before = new Float32Array(count * neuronLength);
    this.after = new Float32Array(count * neuronLength);
    this.neuronCount = neuronCount;
    this.neuronLength = neuronLength;
  }

  /**
   * The energies. Neurons of norm 0 have no direction and are left out.
   *
   * @param directedCount  how many of all neurons have a direction
   * @returns null where there are fewer than two neurons, or two of one direction: then the energy is infinite
   */
  finish(directedCount: number = this.neuronCount): EnergyChange | null {
    const kept = [...this.indices.keys()].filter((i) => this.#hasDirection(this.before, i));
    if (kept.length < 2 || !kept.every((i) => this.#hasDirection(this.after, i))) return null;
    const exact = this.indices.length === this.neuronCount;
    const pairCount = exact ? kept.length * (kept.length - 1) : directedCount * (directedCount - 1);
    const before = inverseDistanceSums(this.before, kept, this.neuronLength);
    const after = inverseDistanceSums(this.after, kept, this.neuronLength);
    if (!before.every(Number.isFinite) || !after.every(Number.isFinite)) return null;

    const mean = (sums: Float64Array, without: number | null) => pairMean(sums, totals.get(sums)!, without);
    const totals = new Map([before, after].map((sums) => [sums, sums.reduce((a, b) => a + b, 0)]));
    const estimate = (statistic: (without: number | null) => number): Estimate => {
      return { value: statistic(null), standardError: exact ? 0 : jackknife(kept.length, statistic) };
    };
    return {
      before: estimate((without) => pairCount * mean(before, without)),
      after: estimate((without) => pairCount * mean(after, without)),
      relativeChange: estimate((without) => mean(after, without) / mean(before, without) - 1),
      neuronCount: kept.length,
      exact,
    };
  }

  #hasDirection(values: Float32Array, neuron: number): boolean {
    const squares = squaredNorm(values, neuron, this.neuronLength);
    return squares > 0 && squares < Infinity;
  }
}

function squaredNorm(values: Float32Array, neuron: number, length: number): number {
  let squares = 0;
  for (let k = neuron * length, end = k + length; k < end; k++) squares += values[k]! * values[k]!;
  return squares;
}

/** Σ_j 1/‖ŵ_i − ŵ_j‖ for each i of the neurons that are kept. */
function inverseDistanceSums(values: Float32Array, kept: readonly number[], length: number): Float64Array {
  const norms = kept.map((neuron) => Math.sqrt(squaredNorm(values, neuron, length)));
  const sums = new Float64Array(kept.length);
  for (let i = 0; i < kept.length; i++) {
    // Four products at once: each load of w_i serves them all.
    for (let j = i + 1; j < kept.length; j += 4) {
      const count = Math.min(4, kept.length - j);
      const starts = [0, 1, 2, 3].map((next) => kept[Math.min(j + next, kept.length - 1)]! * length);
      const dots = fourDots(values, kept[i]! * length, starts, length);
      for (let next = 0; next < count; next++) {
        const cosine = dots[next]! / (norms[i]! * norms[j + next]!);
        // ‖a − b‖² = 2 − 2·cos has no digits left where the neurons are close.
        const squares = cosine < 0.99
          ? 2 - 2 * cosine
          : squaredDistance(values, kept[i]! * length, norms[i]!, starts[next]!, norms[j + next]!, length);
        const inverse = 1 / Math.sqrt(squares);
        sums[i]! += inverse;
        sums[j + next]! += inverse;
      }
    }
  }
  return sums;
}

const dots = new Float64Array(4);

function fourDots(values: Float32Array, row: number, starts: readonly number[], length: number): Float64Array {
  const [a, b, c, d] = starts as [number, number, number, number];
  let [sumA, sumB, sumC, sumD] = [0, 0, 0, 0];
  for (let k = 0; k < length; k++) {
    const x = values[row + k]!;
    sumA += x * values[a + k]!;
    sumB += x * values[b + k]!;
    sumC += x * values[c + k]!;
    sumD += x * values[d + k]!;
  }
  dots.set([sumA, sumB, sumC, sumD]);
  return dots;
}

function squaredDistance(
  values: Float32Array,
  a: number,
  normA: number,
  b: number,
  normB: number,
  length: number,
): number {
  let squares = 0;
  for (let k = 0; k < length; k++) squares += (values[a + k]! / normA - values[b + k]! / normB) ** 2;
  return squares;
}

/** The mean over ordered pairs, without one neuron where `without` names it. Its row sum is in the total twice. */
function pairMean(sums: Float64Array, total: number, without: number | null): number {
  const count = sums.length;
  if (without === null) return total / (count * (count - 1));
  return (total - 2 * sums[without]!) / ((count - 1) * (count - 2));
}

function jackknife(count: number, statistic: (without: number) => number): number {
  if (count < 3) return NaN;
  const leftOut = Float64Array.from({ length: count }, (_, without) => statistic(without));
  const mean = leftOut.reduce((a, b) => a + b, 0) / count;
  const squares = leftOut.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares * (count - 1) / count);
}
