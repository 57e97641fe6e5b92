import type { FloatDtype } from "../safetensors/dtype.ts";
import {
  bitsOf,
  BLOCK_ELEMENTS,
  decisionsOf,
  END_BYTES,
  type Layout,
  LAYOUTS,
  LENGTH,
  Odds,
  SECOND,
  SIGN,
  ZERO,
} from "./residual_model.ts";

/**
 * Writes residuals as blocks of a binary arithmetic code: the interval [low, high] of 32-bit numbers shrinks with each
 * decision, and the bytes that both ends share are written. Fed in order, from the beginning of a block on, after
 * {@link start}.
 */
export class ResidualEncoder {
  /** Bytes of each finished block. */
  blockByteLengths: number[] = [];
  /** Residuals that were not zero. */
  wrongCount = 0;

  #dtype: FloatDtype = "F32";
  #layout: Layout = LAYOUTS.F32;
  readonly #odds = new Odds();
  /** Both as i32, whose bits are those of the unsigned number. */
  #low = 0;
  #high = -1;
  #inBlock = 0;
  #bytes = new Uint8Array(1 << 16);
  #end = 0;
  #blockStart = 0;

  /** Begins anew, in the same room. */
  start(dtype: FloatDtype): void {
    this.#dtype = dtype;
    this.#layout = LAYOUTS[dtype];
    this.blockByteLengths = [];
    this.wrongCount = 0;
    this.#end = 0;
    this.#blockStart = 0;
    this.#startBlock();
  }

  /** Takes the next elements: as the base has them, and as undoing the merge gives them. Bytes of whole elements. */
  add(base: Uint8Array<ArrayBufferLike>, undone: Uint8Array<ArrayBufferLike>): void {
    const a = bitsOf(this.#dtype, base);
    const b = bitsOf(this.#dtype, undone);
    for (let i = 0; i < b.length;) {
      const stop = Math.min(b.length, i + BLOCK_ELEMENTS - this.#inBlock);
      this.#inBlock += stop - i;
      if (this.#layout.spareBits === 0) this.#addWide(a, b, i, stop);
      else this.#addNarrow(a, b, i, stop);
      i = stop;
      if (this.#inBlock === BLOCK_ELEMENTS) this.#endBlock();
    }
  }

  /** Ends the last block. @returns all blocks, end to end */
  finish(): Uint8Array<ArrayBuffer> {
    if (this.#inBlock > 0) this.#endBlock();
    return this.#bytes.slice(0, this.#end);
  }

  #addNarrow(a: Uint16Array | Uint32Array, b: Uint16Array | Uint32Array, start: number, stop: number): void {
    const { exponentShift, exponentMask } = this.#layout;
    for (let i = start; i < stop; i++) {
      const base = a[i]!;
      const undone = b[i]!;
      const decisions = decisionsOf((undone >> exponentShift) & exponentMask);
      if (base === undone) {
        this.#decide(decisions + ZERO, 1);
        continue;
      }
      const baseCode = base & 0x8000 ? ~(base & 0x7fff) : base;
      const undoneCode = undone & 0x8000 ? ~(undone & 0x7fff) : undone;
      this.#residual(decisions, (baseCode - undoneCode) << 16 >> 16);
    }
  }

  #addWide(a: Uint16Array | Uint32Array, b: Uint16Array | Uint32Array, start: number, stop: number): void {
    const { exponentShift, exponentMask } = this.#layout;
    for (let i = start; i < stop; i++) {
      const base = a[i]! | 0;
      const undone = b[i]! | 0;
      const decisions = decisionsOf((undone >>> exponentShift) & exponentMask);
      if (base === undone) {
        this.#decide(decisions + ZERO, 1);
        continue;
      }
      const baseCode = base < 0 ? ~(base & 0x7fffffff) : base;
      const undoneCode = undone < 0 ? ~(undone & 0x7fffffff) : undone;
      this.#residual(decisions, (baseCode - undoneCode) | 0);
    }
  }

  /** @param residual  i32, not zero */
  #residual(decisions: number, residual: number): void {
    this.wrongCount++;
    this.#decide(decisions + ZERO, 0);
    this.#decide(decisions + SIGN, residual < 0 ? 1 : 0);
    // |−2^31| is 2^31, whose bits are those of −2^31.
    const magnitude = residual < 0 ? -residual | 0 : residual;
    const length = 32 - Math.clz32(magnitude);
    for (let bit = 1; bit < length; bit++) this.#decide(decisions + LENGTH + bit - 1, 1);
    if (length < 32) this.#decide(decisions + LENGTH + length - 1, 0);
    if (length < 2) return;
    this.#decide(decisions + SECOND + length, magnitude >>> (length - 2) & 1);
    for (let bit = length - 3; bit >= 0; bit--) this.#split(1 << 15, magnitude >>> bit & 1);
  }

  #decide(decision: number, outcome: number): void {
    this.#split(this.#odds.of(decision), outcome);
    this.#odds.learn(decision, outcome);
  }

  /** Narrows the interval to the part of an outcome. @param odds  that it is 1, of 2^16 */
  #split(odds: number, outcome: number): void {
    let low = this.#low;
    let high = this.#high;
    const range = (high - low) >>> 0;
    const middle = (low + Math.imul(range >>> 16, odds) + (Math.imul(range & 0xffff, odds) >>> 16)) | 0;
    if (outcome === 1) high = middle;
    else low = (middle + 1) | 0;
    while (((low ^ high) & 0xff000000) === 0) {
      if (this.#end === this.#bytes.byteLength) this.#grow();
      this.#bytes[this.#end++] = high >>> 24;
      low <<= 8;
      high = (high << 8) | 0xff;
    }
    this.#low = low;
    this.#high = high;
  }

  #endBlock(): void {
    if (this.#bytes.byteLength - this.#end < END_BYTES) this.#grow();
    for (let shift = 24; shift >= 0; shift -= 8) this.#bytes[this.#end++] = this.#low >>> shift;
    this.blockByteLengths.push(this.#end - this.#blockStart);
    this.#blockStart = this.#end;
    this.#startBlock();
  }

  #startBlock(): void {
    this.#low = 0;
    this.#high = -1;
    this.#inBlock = 0;
    this.#odds.reset();
  }

  #grow(): void {
    const bytes = new Uint8Array(2 * this.#bytes.byteLength);
    bytes.set(this.#bytes);
    this.#bytes = bytes;
  }
}
