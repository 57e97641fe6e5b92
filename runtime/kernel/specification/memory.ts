/** A linear memory, read and written value by value, at any alignment. */
import type { FloatDtype } from "../../safetensors/dtype.ts";
import { elementByteLength } from "../../safetensors/dtype.ts";
import { bitsOfCode, codeOf, valueOf } from "../element.ts";
import type { Address } from "../kernel.ts";
import { laneOf } from "../lanes.ts";

/** The memory of a specification kernel. Little-endian, as WASM's. */
export class Memory {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;

  constructor(byteLength: number) {
    this.bytes = new Uint8Array(byteLength);
    this.view = new DataView(this.bytes.buffer);
  }

  f32(address: Address): number {
    return this.view.getFloat32(address, true);
  }

  /** @param value a NaN is stored as 0x7fc00000 */
  setF32(address: Address, value: number): void {
    this.view.setUint32(address, codeOf("F32", Math.fround(value)), true);
  }

  f64(address: Address): number {
    return this.view.getFloat64(address, true);
  }

  setF64(address: Address, value: number): void {
    this.view.setFloat64(address, value, true);
  }

  /** An element of a tile, as the bits of an f32. */
  elementBits(dtype: FloatDtype, address: Address): number {
    if (dtype === "F32") return this.view.getUint32(address, true);
    return bitsOfCode(dtype, this.view.getUint16(address, true));
  }

  /** Rounds an f32 value to an element of a tile. */
  setElement(dtype: FloatDtype, address: Address, value: number): void {
    if (dtype === "F32") this.view.setUint32(address, codeOf(dtype, value), true);
    else this.view.setUint16(address, codeOf(dtype, value), true);
  }

  /** `length` neighbouring elements of a tile. */
  elements(dtype: FloatDtype, address: Address, length: number): Float32Array {
    const size = elementByteLength(dtype);
    return Float32Array.from({ length }, (_, index) => valueOf(this.elementBits(dtype, address + index * size)));
  }

  /** A vector that was written in the lane order of `dtype`, in natural order. */
  vector(dtype: FloatDtype, address: Address, length: number): Float32Array {
    return Float32Array.from({ length }, (_, index) => this.f32(address + 4 * laneOf(dtype, index)));
  }

  /** `length` neighbouring f64 values. */
  doubles(address: Address, length: number): Float64Array {
    return Float64Array.from({ length }, (_, index) => this.f64(address + 8 * index));
  }
}
