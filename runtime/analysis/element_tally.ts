/** How far the elements of two tensors are apart, counted block by block. */
import { type Dtype, DTYPE_BITS } from "../safetensors/dtype.ts";
import { type ElementReader, elementReader, hasValues } from "./element_values.ts";

/** What is known of two tensors of the same shape in the end. */
export interface ElementDifference {
  readonly elementCount: number;
  /** Elements whose bits differ; of two dtypes, whose values do. */
  readonly changedCount: number;
  /** Changed elements of which one or both are a NaN: they are not in what follows. */
  readonly nanCount: number;
  /** Steps of the dtype between changed elements; null for two dtypes, and where a dtype has no values. */
  readonly ulp: { readonly max: number; readonly mean: number } | null;
  /** ‖B − A‖ / ‖A‖ over the elements that are finite on both sides; null where the dtype has no values. */
  readonly relativeNorm: number | null;
}

/** A tally over two buffers that are filled again and again. */
export interface ElementTally {
  /** Adds the first `count` elements of both buffers. */
  add(count: number): void;
  finish(): ElementDifference;
}

/** A tally for two dtypes: by value where both have values, else by bits, which must then be of one width. */
export function startTally(
  dtypes: readonly [a: Dtype, b: Dtype],
  buffers: readonly [a: Uint8Array<ArrayBuffer>, b: Uint8Array<ArrayBuffer>],
): ElementTally {
  const [a, b] = dtypes;
  if (!hasValues(a) || !hasValues(b)) return new BitTally(DTYPE_BITS[a], buffers);
  const readers = [elementReader(a, buffers[0]), elementReader(b, buffers[1])] as const;
  return a === b ? new UlpTally(readers) : new ValueTally(readers);
}

/** ‖B − A‖ / ‖A‖ of two sums of squares; without a norm to compare with, a difference is infinite. */
function ratioOf(differenceSquares: number, squares: number): number {
  return differenceSquares === 0 ? 0 : Math.sqrt(differenceSquares) / Math.sqrt(squares);
}

/** Of one dtype: the loop that a changed model spends its time in. */
class UlpTally implements ElementTally {
  readonly #a: ElementReader;
  readonly #b: ElementReader;
  #elementCount = 0;
  #changedCount = 0;
  #nanCount = 0;
  #maxUlp = 0;
  #ulpSum = 0;
  #squares = 0;
  #differenceSquares = 0;

  constructor([a, b]: readonly [ElementReader, ElementReader]) {
    this.#a = a;
    this.#b = b;
  }

  add(count: number): void {
    const a = this.#a;
    const b = this.#b;
    // Per block, so that a long sum loses no more than a short one.
    let squares = 0;
    let differenceSquares = 0;
    let ulpSum = 0;
    for (let i = 0; i < count; i++) {
      const x = a.value(i);
      if (a.same(i, b)) {
        if (x - x === 0) squares += x * x;
        continue;
      }
      this.#changedCount++;
      const y = b.value(i);
      if (x !== x || y !== y) {
        this.#nanCount++;
        continue;
      }
      const ulp = a.distance(i, b);
      if (ulp > this.#maxUlp) this.#maxUlp = ulp;
      ulpSum += ulp;
      const difference = y - x;
      // Infinite, or a NaN, where one of them is infinite.
      if (difference - difference !== 0) continue;
      squares += x * x;
      differenceSquares += difference * difference;
    }
    this.#elementCount += count;
    this.#ulpSum += ulpSum;
    this.#squares += squares;
    this.#differenceSquares += differenceSquares;
  }

  finish(): ElementDifference {
    const compared = this.#changedCount - this.#nanCount;
    return {
      ...{ elementCount: this.#elementCount, changedCount: this.#changedCount, nanCount: this.#nanCount },
      ulp: { max: this.#maxUlp, mean: compared === 0 ? 0 : this.#ulpSum / compared },
      relativeNorm: ratioOf(this.#differenceSquares, this.#squares),
    };
  }
}

/** Of two dtypes: there is no common step, only values. */
class ValueTally implements ElementTally {
  readonly #a: ElementReader;
  readonly #b: ElementReader;
  #elementCount = 0;
  #changedCount = 0;
  #nanCount = 0;
  #squares = 0;
  #differenceSquares = 0;

  constructor([a, b]: readonly [ElementReader, ElementReader]) {
    this.#a = a;
    this.#b = b;
  }

  add(count: number): void {
    let squares = 0;
    let differenceSquares = 0;
    for (let i = 0; i < count; i++) {
      const x = this.#a.value(i);
      const y = this.#b.value(i);
      const bothNaN = x !== x && y !== y;
      if (x !== y && !bothNaN) {
        this.#changedCount++;
        if (x !== x || y !== y) this.#nanCount++;
      }
      const difference = y - x;
      if (difference - difference !== 0) continue;
      squares += x * x;
      differenceSquares += difference * difference;
    }
    this.#elementCount += count;
    this.#squares += squares;
    this.#differenceSquares += differenceSquares;
  }

  finish(): ElementDifference {
    return {
      ...{ elementCount: this.#elementCount, changedCount: this.#changedCount, nanCount: this.#nanCount },
      ...{ ulp: null, relativeNorm: ratioOf(this.#differenceSquares, this.#squares) },
    };
  }
}

/** Of dtypes that are compared by their bits, packed ones too: the lowest bits of a byte are its first element. */
class BitTally implements ElementTally {
  readonly #bits: number;
  readonly #a: Uint8Array;
  readonly #b: Uint8Array;
  #elementCount = 0;
  #changedCount = 0;

  constructor(bits: number, [a, b]: readonly [Uint8Array, Uint8Array]) {
    this.#bits = bits;
    this.#a = a;
    this.#b = b;
  }

  add(count: number): void {
    const byteLength = Math.ceil(count * this.#bits / 8);
    let lastChanged = -1;
    for (let byte = 0; byte < byteLength; byte++) {
      for (let different = this.#a[byte]! ^ this.#b[byte]!; different !== 0; different &= different - 1) {
        const element = Math.floor((8 * byte + 31 - Math.clz32(different & -different)) / this.#bits);
        if (element !== lastChanged) this.#changedCount++;
        lastChanged = element;
      }
    }
    this.#elementCount += count;
  }

  finish(): ElementDifference {
    const { elementCount, changedCount } = { elementCount: this.#elementCount, changedCount: this.#changedCount };
    return { elementCount, changedCount, nanCount: 0, ulp: null, relativeNorm: null };
  }
}
