/** The elements of a float dtype as codes, as values, and on the line on which neighbours are one unit apart. */
import { bitsOfCode, valueOf } from "../kernel/element.ts";
import type { Dtype } from "../safetensors/dtype.ts";

/** The dtypes whose elements are told apart by value; of all others only bits are compared. */
export type ValueDtype = "F64" | "F32" | "F16" | "BF16";

/** True for F64, F32, F16 and BF16. */
export function hasValues(dtype: Dtype): dtype is ValueDtype {
  return dtype === "F64" || dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

/** Some elements in a buffer. */
export interface ElementReader {
  /** f64; exact. */
  value(index: number): number;
  /** True where both have the same bits. */
  same(index: number, other: this): boolean;
  /**
   * How many steps of the dtype lie between the elements here and there, neither of them a NaN. Codes are put in order,
   * so that ±0 are one point, the smallest magnitudes of both signs lie two steps apart, and an infinity follows the
   * largest finite value.
   */
  distance(index: number, other: this): number;
}

/** Reads the elements of a buffer, which may be filled again. Its start is a multiple of eight bytes. */
export function elementReader(dtype: ValueDtype, bytes: Uint8Array<ArrayBuffer>): ElementReader {
  if (dtype === "F64") return new DoubleReader(bytes);
  return dtype === "F32" ? new SingleReader(bytes) : new HalfReader(dtype, bytes);
}

class DoubleReader implements ElementReader {
  readonly #values: Float64Array;
  readonly #codes: BigUint64Array;

  constructor({ buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>) {
    this.#values = new Float64Array(buffer, byteOffset, Math.floor(byteLength / 8));
    this.#codes = new BigUint64Array(buffer, byteOffset, Math.floor(byteLength / 8));
  }

  value(index: number): number {
    return this.#values[index]!;
  }

  same(index: number, other: DoubleReader): boolean {
    return this.#codes[index] === other.#codes[index];
  }

  distance(index: number, other: DoubleReader): number {
    const difference = orderOfDouble(this.#codes[index]!) - orderOfDouble(other.#codes[index]!);
    return Number(difference < 0n ? -difference : difference);
  }
}

function orderOfDouble(code: bigint): bigint {
  return code >> 63n === 0n ? code : (1n << 63n) - code;
}

class SingleReader implements ElementReader {
  readonly #values: Float32Array;
  readonly #codes: Int32Array;

  constructor({ buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>) {
    this.#values = new Float32Array(buffer, byteOffset, Math.floor(byteLength / 4));
    this.#codes = new Int32Array(buffer, byteOffset, Math.floor(byteLength / 4));
  }

  value(index: number): number {
    return this.#values[index]!;
  }

  same(index: number, other: SingleReader): boolean {
    return this.#codes[index] === other.#codes[index];
  }

  distance(index: number, other: SingleReader): number {
    const a = this.#codes[index]!;
    const b = other.#codes[index]!;
    // No branch on one sign, which would be guessed wrong half of the time.
    return (a ^ b) >= 0 ? Math.abs(a - b) : (a & 0x7fffffff) + (b & 0x7fffffff);
  }
}

/** Values of all 65,536 codes, by dtype: made when they are first needed. */
const tables = new Map<"F16" | "BF16", Float32Array<ArrayBuffer>>();

function halfValues(dtype: "F16" | "BF16"): Float32Array<ArrayBuffer> {
  let table = tables.get(dtype);
  if (table === undefined) {
    table = Float32Array.from({ length: 65536 }, (_, code) => valueOf(bitsOfCode(dtype, code)));
    tables.set(dtype, table);
  }
  return table;
}

class HalfReader implements ElementReader {
  readonly #codes: Uint16Array;
  readonly #values: Float32Array;

  constructor(dtype: "F16" | "BF16", { buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>) {
    this.#codes = new Uint16Array(buffer, byteOffset, Math.floor(byteLength / 2));
    this.#values = halfValues(dtype);
  }

  value(index: number): number {
    return this.#values[this.#codes[index]!]!;
  }

  same(index: number, other: HalfReader): boolean {
    return this.#codes[index] === other.#codes[index];
  }

  distance(index: number, other: HalfReader): number {
    const a = this.#codes[index]!;
    const b = other.#codes[index]!;
    return (a ^ b) < 0x8000 ? Math.abs(a - b) : (a & 0x7fff) + (b & 0x7fff);
  }
}
