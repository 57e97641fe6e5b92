import type { FloatDtype } from "../safetensors/dtype.ts";
import { bitsOf, decisionsOf, type Layout, LAYOUTS, LENGTH, Odds, SECOND, SIGN, ZERO } from "./residual_model.ts";

/** Reads one block of residuals after the other, and puts the elements right. */
export class ResidualDecoder {
  readonly #dtype: FloatDtype;
  readonly #layout: Layout;
  readonly #odds = new Odds();
  /** All three as i32, whose bits are those of the unsigned number. */
  #low = 0;
  #high = -1;
  #code = 0;
  #bytes = new Uint8Array(0);
  #next = 0;

  constructor(dtype: FloatDtype) {
    this.#dtype = dtype;
    this.#layout = LAYOUTS[dtype];
  }

  /** Begins a block. Its bytes must stay until its last element; where they end early, zeros follow. */
  begin(bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes = bytes;
    this.#next = 0;
    this.#low = 0;
    this.#high = -1;
    this.#odds.reset();
    for (let i = 0; i < 4; i++) this.#code = (this.#code << 8) | this.#byte();
  }

  /** The block's next elements, whole ones: as undoing the merge gives them; afterwards as the base has them. */
  restore(elements: Uint8Array<ArrayBufferLike>): void {
    const bits = bitsOf(this.#dtype, elements);
    const { spareBits, exponentShift, exponentMask } = this.#layout;
    const sign = spareBits === 0 ? 0x80000000 | 0 : 0x8000;
    for (let i = 0; i < bits.length; i++) {
      const undone = bits[i]! | 0;
      const decisions = decisionsOf((undone >>> exponentShift) & exponentMask);
      if (this.#decide(decisions + ZERO) === 1) continue;
      const code = undone & sign ? ~(undone & ~sign) : undone;
      const restored = (code + this.#residual(decisions)) << spareBits >> spareBits;
      bits[i] = restored < 0 ? ~restored | sign : restored;
    }
  }

  #residual(decisions: number): number {
    const negative = this.#decide(decisions + SIGN) === 1;
    let length = 1;
    while (length < 32 && this.#decide(decisions + LENGTH + length - 1) === 1) length++;
    let magnitude = 1;
    if (length > 1) magnitude = 2 | this.#decide(decisions + SECOND + length);
    for (let bit = length - 3; bit >= 0; bit--) magnitude = (magnitude << 1) | this.#split(1 << 15);
    return negative ? -magnitude | 0 : magnitude;
  }

  #decide(decision: number): number {
    const outcome = this.#split(this.#odds.of(decision));
    this.#odds.learn(decision, outcome);
    return outcome;
  }

  #split(odds: number): number {
    let low = this.#low;
    let high = this.#high;
    const range = (high - low) >>> 0;
    const middle = (low + Math.imul(range >>> 16, odds) + (Math.imul(range & 0xffff, odds) >>> 16)) | 0;
    const outcome = (this.#code >>> 0) <= (middle >>> 0) ? 1 : 0;
    if (outcome === 1) high = middle;
    else low = (middle + 1) | 0;
    while (((low ^ high) & 0xff000000) === 0) {
      low <<= 8;
      high = (high << 8) | 0xff;
      this.#code = (this.#code << 8) | this.#byte();
    }
    this.#low = low;
    this.#high = high;
    return outcome;
  }

  #byte(): number {
    return this.#next < this.#bytes.byteLength ? this.#bytes[this.#next++]! : 0;
  }
}
