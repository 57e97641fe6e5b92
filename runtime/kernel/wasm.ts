/** The kernel in WASM SIMD: `assembly/`, one instance and one memory each. */
import { EtherError } from "../error.ts";
import type { FloatDtype } from "../safetensors/dtype.ts";
import { copyRows } from "./copy_rows.ts";
import type { Address, CopyRowsJob, Kernel, MatmulJob, ReduceJob, RowsJob, SumsJob } from "./kernel.ts";
import { writeLanes } from "./lanes.ts";
import { kernelModule } from "./module.ts";

/** What the module exports; see `assembly/index.ts`. An i32 comes back signed. */
export interface KernelExports {
  readonly memory: WebAssembly.Memory;
  base(): number;
  transformRows(...numbers: readonly number[]): void;
  reduceRows(...numbers: readonly number[]): void;
  prepareSums(...numbers: readonly number[]): number;
  matmul(...numbers: readonly number[]): void;
  decode(dtype: number, source: Address, count: number, target: Address): void;
  encode(dtype: number, source: Address, count: number, target: Address): number;
  /** For the bench: `memory.copy`. */
  copyBytes(target: Address, source: Address, byteLength: number): void;
  /** For the bench: right ETHER on BF16, element by element. */
  scalarRowsBF16(...numbers: readonly number[]): void;
}

const DTYPE = { F32: 0, BF16: 1, F16: 2 } as const satisfies Record<FloatDtype, number>;
const PAGE_BYTES = 65536;
const MAX_BYTES = 2 ** 32;

/** The kernel in WASM SIMD. */
export class WasmKernel implements Kernel {
  readonly name = "wasm";
  readonly base: Address;
  /** The raw exports. */
  readonly exports: KernelExports;

  /**
   * @param module  what to instantiate; one compilation serves many kernels. @default the isolate's one module
   * @throws {EtherError} `unsupported_feature` where the host cannot run it
   */
  constructor(module: WebAssembly.Module | null = kernelModule()) {
    if (module === null) throw new EtherError("unsupported_feature", "this host cannot run the WebAssembly kernel");
    this.exports = new WebAssembly.Instance(module, {}).exports as unknown as KernelExports;
    this.base = this.exports.base();
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.exports.memory.buffer as ArrayBuffer); // the module does not share it
  }

  reserve(byteLength: number): void {
    if (byteLength > MAX_BYTES) throw new RangeError(`a kernel's memory has no room for ${byteLength} bytes`);
    const missing = byteLength - this.exports.memory.buffer.byteLength;
    if (missing > 0) this.exports.memory.grow(Math.ceil(missing / PAGE_BYTES));
  }

  writeVectors(dtype: FloatDtype, address: Address, values: Float32Array, length: number): void {
    writeLanes(dtype, this.bytes, address, values, length);
  }

  transformRows(job: RowsJob): void {
    const { right, left } = job;
    this.exports.transformRows(
      DTYPE[job.dtype],
      job.tile,
      job.rowCount,
      job.rowStride,
      job.chunkCount,
      job.chunkLength,
      right?.u ?? 0,
      right?.v ?? 0,
      right?.vectorStride ?? 0,
      right?.alpha ?? 0,
      right?.beta ?? 0,
      left?.p ?? 0,
      left?.q ?? 0,
      left?.s ?? 0,
      left?.t ?? 0,
      left?.s64 ?? 0,
      left?.t64 ?? 0,
      left?.exact ? 1 : 0,
    );
  }

  reduceRows(job: ReduceJob): void {
    this.exports.reduceRows(
      DTYPE[job.dtype],
      job.tile,
      job.rowCount,
      job.rowStride,
      job.columnCount,
      job.p,
      job.q,
      job.pSums,
      job.qSums,
      job.scratch,
    );
  }

  prepareSums(job: SumsJob): boolean {
    const { right } = job;
    const unfit = this.exports.prepareSums(
      DTYPE[job.dtype],
      job.sums,
      job.chunkCount,
      job.chunkLength,
      right?.u ?? 0,
      right?.v ?? 0,
      right?.vectorStride ?? 0,
      right?.alpha ?? 0,
      right?.beta ?? 0,
      job.scale,
      job.target,
    );
    return unfit !== 0;
  }

  matmul(job: MatmulJob): void {
    this.exports.matmul(job.a, job.aStride, job.b, job.bStride, job.c, job.cStride, job.m, job.k, job.n);
  }

  copyRows(job: CopyRowsJob): void {
    copyRows(this.bytes, job);
  }

  clear(address: Address, byteLength: number): void {
    this.bytes.fill(0, address, address + byteLength);
  }

  decode(dtype: FloatDtype, source: Address, count: number, target: Address): void {
    this.exports.decode(DTYPE[dtype], source, count, target);
  }

  encode(dtype: FloatDtype, source: Address, count: number, target: Address): number {
    return this.exports.encode(DTYPE[dtype], source, count, target) >>> 0;
  }
}
