/**
 * The kernel in plain TypeScript: the executable specification of the arithmetic, and what runs where there is no
 * SIMD. Every byte that it writes is the byte that the WASM kernel writes; the tests hold the two together.
 *
 * The folder `specification/` has one file per primitive. In all of them an assignment into a Float32Array, or
 * Math.fround, is one f32 rounding; sums and products of two f32 values are exact enough in f64 for that to be the
 * only one. Numbers that are not rounded are f64.
 */
import { elementByteLength, type FloatDtype } from "../safetensors/dtype.ts";
import { copyRows } from "./copy_rows.ts";
import { codeOf } from "./element.ts";
import type { Address, CopyRowsJob, Kernel, MatmulJob, ReduceJob, RowsJob, SumsJob } from "./kernel.ts";
import { writeLanes } from "./lanes.ts";
import { multiply } from "./specification/matmul.ts";
import { Memory } from "./specification/memory.ts";
import { reduceRows } from "./specification/reduce.ts";
import { transformRows } from "./specification/rows.ts";
import { prepareSums } from "./specification/sums.ts";

const PAGE_BYTES = 65536;
const MAX_BYTES = 2 ** 32;

/** The executable specification. */
export class SpecificationKernel implements Kernel {
  readonly name = "typescript";
  readonly base: Address = 64;
  #memory = new Memory(PAGE_BYTES);

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#memory.bytes;
  }

  reserve(byteLength: number): void {
    if (byteLength > MAX_BYTES) throw new RangeError(`a kernel's memory has no room for ${byteLength} bytes`);
    if (byteLength <= this.bytes.byteLength) return;
    const grown = new Memory(Math.ceil(byteLength / PAGE_BYTES) * PAGE_BYTES);
    grown.bytes.set(this.bytes);
    this.#memory = grown;
  }

  writeVectors(dtype: FloatDtype, address: Address, values: Float32Array, length: number): void {
    writeLanes(dtype, this.bytes, address, values, length);
  }

  transformRows(job: RowsJob): void {
    transformRows(this.#memory, job);
  }

  reduceRows(job: ReduceJob): void {
    reduceRows(this.#memory, job);
  }

  prepareSums(job: SumsJob): boolean {
    return prepareSums(this.#memory, job);
  }

  matmul(job: MatmulJob): void {
    multiply(this.#memory, job);
  }

  copyRows(job: CopyRowsJob): void {
    copyRows(this.bytes, job);
  }

  clear(address: Address, byteLength: number): void {
    this.bytes.fill(0, address, address + byteLength);
  }

  decode(dtype: FloatDtype, source: Address, count: number, target: Address): void {
    for (let index = 0; index < count; index++) {
      const bits = this.#memory.elementBits(dtype, source + index * elementByteLength(dtype));
      this.#memory.view.setUint32(target + 4 * index, bits, true);
    }
  }

  encode(dtype: FloatDtype, source: Address, count: number, target: Address): number {
    const infinity = codeOf(dtype, Infinity);
    let overflows = 0;
    for (let index = 0; index < count; index++) {
      const value = this.#memory.f32(source + 4 * index);
      this.#memory.setElement(dtype, target + index * elementByteLength(dtype), value);
      if (Number.isFinite(value) && codeOf(dtype, Math.abs(value)) === infinity) overflows++;
    }
    return overflows;
  }
}
