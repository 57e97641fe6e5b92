/** Numbers that look drawn and are the same each time. */
export class SeededDraw {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0 || 1;
    // Small seeds begin with small numbers.
    for (let i = 0; i < 16; i++) this.bits();
  }

  /** 32 bits (xorshift, Marsaglia 2003). */
  bits(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return this.#state >>> 0;
  }

  /** Evenly between −1 and 1. */
  signed(): number {
    return this.bits() / 2 ** 31 - 1;
  }

  /** `count` of the numbers 0 … `total` − 1 without repetition, every set equally likely, in order (Floyd, 1987). */
  sample(count: number, total: number): Int32Array<ArrayBuffer> {
    const chosen = new Set<number>();
    for (let last = total - count; last < total; last++) {
      const candidate = Math.floor(this.bits() / 2 ** 32 * (last + 1));
      chosen.add(chosen.has(candidate) ? last : candidate);
    }
    return Int32Array.from(chosen).sort();
  }
}
