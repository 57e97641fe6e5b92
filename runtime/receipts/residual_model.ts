/**
 * What encoder and decoder of residuals agree on.
 *
 * A tensor's elements are numbered by their *ordered codes*: the bits of a float read so that the next larger float has
 * the next larger code (−0 is one below +0, NaNs lie beyond the infinities). The *residual* of an element is the code
 * that it has in the base minus the code that undoing the merge gives, modulo 2^16 or 2^32: every bit pattern comes
 * back, whatever it means.
 *
 * A residual is a few binary decisions: is it zero, its sign, the length of its magnitude in bits (in unary), the bits
 * below the first. Each decision has adaptive odds of its own for each exponent of the undone element: an element that
 * is small beside its neighbours has inherited their coarser rounding, and is further off.
 *
 * Blocks of {@link BLOCK_ELEMENTS} elements stand alone, so that any part of a tensor can be restored by itself.
 */
import type { FloatDtype } from "../safetensors/dtype.ts";

/** Elements of a block; the last one of a tensor is shorter. */
export const BLOCK_ELEMENTS: number = 1 << 18;

/** Bytes of an element's code at most: 34 decisions and 30 plain bits, of which none takes more than 17 bits. */
export const MAX_ELEMENT_BYTES = 136;

/** Bytes that end a block. */
export const END_BYTES = 4;

/** Decisions of one exponent: zero; sign; unary length (31); and, by length, the bit below the first (31). */
export const ZERO = 0;
export const SIGN = 1;
export const LENGTH = 2;
export const SECOND: number = LENGTH + 31;
const DECISIONS = SECOND + 33;
const EXPONENTS = 256;

/** A probability is a number of 2^16; neither outcome is ever taken for impossible. */
const EVEN = 1 << 15;
const LEAST = 16;
/** A decision's odds are an average over about this many of its last outcomes. */
const MEMORY = 250;

/** 2^14 / (n + 1.5): the weight of an outcome after n others, rounded down. */
const WEIGHTS = Int32Array.from({ length: MEMORY + 1 }, (_, n) => Math.floor(32768 / (2 * n + 3)));

/** The odds of every decision: that its outcome is 1, of 2^16. */
export class Odds {
  readonly #odds = new Uint16Array(EXPONENTS * DECISIONS);
  readonly #counts = new Uint8Array(EXPONENTS * DECISIONS);

  constructor() {
    this.reset();
  }

  /** As if nothing had been seen. */
  reset(): void {
    this.#odds.fill(EVEN);
    this.#counts.fill(0);
  }

  of(decision: number): number {
    return this.#odds[decision]!;
  }

  learn(decision: number, outcome: number): void {
    const odds = this.#odds[decision]!;
    const count = this.#counts[decision]!;
    const next = odds + (((outcome === 1 ? 65536 : 0) - odds) * WEIGHTS[count]! >> 14);
    this.#odds[decision] = next < LEAST ? LEAST : next > 65536 - LEAST ? 65536 - LEAST : next;
    if (count < MEMORY) this.#counts[decision] = count + 1;
  }
}

/** The first of the decisions that an element with these bits has. */
export function decisionsOf(exponent: number): number {
  return exponent * DECISIONS;
}

/** How the bits of a dtype are read. */
export interface Layout {
  /** Bits above a code: shifting left and right by it wraps a difference of two codes. */
  readonly spareBits: 0 | 16;
  /** Where the exponent begins, and its bits. */
  readonly exponentShift: number;
  readonly exponentMask: number;
}

export const LAYOUTS: Readonly<Record<FloatDtype, Layout>> = {
  F32: { spareBits: 0, exponentShift: 23, exponentMask: 0xff },
  F16: { spareBits: 16, exponentShift: 10, exponentMask: 0x1f },
  BF16: { spareBits: 16, exponentShift: 7, exponentMask: 0xff },
};

/** Elements as their bits; `bytes` begins at a multiple of an element's width within its buffer. */
export function bitsOf(
  dtype: FloatDtype,
  { buffer, byteOffset, byteLength }: Uint8Array<ArrayBufferLike>,
): Uint16Array | Uint32Array {
  return dtype === "F32"
    ? new Uint32Array(buffer, byteOffset, byteLength / 4)
    : new Uint16Array(buffer, byteOffset, byteLength / 2);
}

/** Blocks of a tensor. */
export function blockCountOf(elementCount: number): number {
  return Math.ceil(elementCount / BLOCK_ELEMENTS);
}
