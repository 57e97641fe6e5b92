/** Data that is hard on a kernel, and two kernels to hold against each other. */
import fc from "fast-check";
import type { FloatDtype } from "../../../runtime/safetensors/dtype.ts";
import { FLOAT_DTYPES } from "../../../runtime/safetensors/dtype.ts";
import type { Address, Kernel } from "../../../runtime/kernel/kernel.ts";
import { SpecificationKernel } from "../../../runtime/kernel/specification.ts";
import { WasmKernel } from "../../../runtime/kernel/wasm.ts";

/** Both, with room for every test. */
export const KERNELS: readonly Kernel[] = [new WasmKernel(), new SpecificationKernel()];
for (const kernel of KERNELS) kernel.reserve(1 << 21);

/** An address that is free in both kernels; the space before it is free too. */
export const FREE: Address = 1 << 19;

/** A small generator of our own: tests need many values, quickly, from one seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0 || 1;
  }

  /** 32 random bits (xorshift). */
  bits(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return this.#state >>> 0;
  }

  /** A whole number below `limit`. */
  below(limit: number): number {
    return this.bits() % limit;
  }

  /** Evenly between -1 and 1. */
  signed(): number {
    return this.bits() / 2 ** 31 - 1;
  }

  /** About normal, deviation 1. */
  normal(): number {
    return this.signed() + this.signed() + this.signed();
  }
}

/** What the elements of a tile are like. */
export type Kind = "weights" | "any bits" | "finite bits" | "tiny" | "small" | "huge" | "few specials";
export const KINDS: readonly Kind[] = ["weights", "any bits", "finite bits", "tiny", "small", "huge", "few specials"];

/** `count` elements of a dtype, as bytes. */
export function elements(random: Random, dtype: FloatDtype, kind: Kind, count: number): Uint8Array<ArrayBuffer> {
  const [exponentBits, mantissaBits] = dtype === "F32" ? [8, 23] : dtype === "BF16" ? [8, 7] : [5, 10];
  const wide = dtype === "F32";
  const codes = wide ? new Uint32Array(count) : new Uint16Array(count);
  const largest = 2 ** exponentBits - 1;
  const code = (exponent: number) =>
    ((random.bits() & 1) * 2 ** (exponentBits + mantissaBits)) + exponent * 2 ** mantissaBits +
    random.below(2 ** mantissaBits);
  const special = () => {
    const bits = random.bits();
    const sign = (bits & 1) * 2 ** (exponentBits + mantissaBits);
    return sign + ((bits & 6) === 0 ? 0 : (bits & 6) === 2 ? 1 : largest * 2 ** mantissaBits + ((bits >> 3) & 1));
  };
  for (let index = 0; index < count; index++) {
    switch (kind) {
      case "weights":
        codes[index] = code((largest >> 1) - random.below(8));
        break;
      case "any bits":
        codes[index] = random.bits();
        break;
      case "finite bits":
        codes[index] = code(random.below(largest));
        break;
      case "tiny":
        codes[index] = code(random.below(3));
        break;
      case "small": // about 2^-100, where the f64 path ends; F16 does not go there
        codes[index] = code((dtype === "F16" ? 0 : 24) + random.below(6));
        break;
      case "huge":
        codes[index] = code(largest - 1 - random.below(3));
        break;
      case "few specials":
        codes[index] = random.below(64) === 0 ? special() : code((largest >> 1) - random.below(8));
    }
  }
  return new Uint8Array(codes.buffer);
}

/** `count` vectors of `length` values, each of norm 1 (some all zero but for one value). */
export function unitVectors(random: Random, count: number, length: number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(count * length);
  for (let vector = 0; vector < count; vector++) {
    const own = values.subarray(vector * length, (vector + 1) * length);
    if (random.below(8) === 0) own[random.below(length)] = -1;
    else {
      const raw = Array.from(own, () => random.normal());
      const norm = Math.sqrt(raw.reduce((sum, x) => sum + x * x, 0)) || 1;
      raw.forEach((x, index) => own[index] = x / norm);
    }
  }
  return values;
}

export const seeds: fc.Arbitrary<number> = fc.integer({ min: 1, max: 2 ** 31 - 1 });
export const dtypes: fc.Arbitrary<FloatDtype> = fc.constantFrom(...FLOAT_DTYPES);
export const kinds: fc.Arbitrary<Kind> = fc.constantFrom(...KINDS);

/** Puts the same bytes into both kernels. */
export function write(address: Address, values: ArrayBufferView): void {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  for (const kernel of KERNELS) kernel.bytes.set(bytes, address);
}

/** The first address in a range at which the kernels' memories differ, or -1. */
export function firstDifference(start: Address, end: Address): number {
  const [a, b] = KERNELS.map((kernel) => kernel.bytes.subarray(start, end)) as [Uint8Array, Uint8Array];
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return start + index;
  return -1;
}

/** Asserts that a range holds the same f32 or f64 values in both kernels, to the bit but for the bits of NaNs. */
export function assertSameNumbers(
  type: Float32ArrayConstructor | Float64ArrayConstructor,
  start: Address,
  end: Address,
  message: string,
): void {
  const [a, b] = KERNELS.map((kernel) => new type(kernel.bytes.slice(start, end).buffer)) as [
    Float64Array,
    Float64Array,
  ];
  a.forEach((value, index) => {
    if (!Object.is(value, b[index])) throw new Error(`${message}: number ${index}: ${value} | ${b[index]}`);
  });
}
