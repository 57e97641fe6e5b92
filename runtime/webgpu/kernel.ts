/**
 * The kernel on a GPU. Its memory is another kernel's, here: files are read into it and written from it. Jobs are noted,
 * and done together when the caller settles.
 *
 * Whatever the device cannot do exactly enough (values that are not finite, sums that f32 does not hold, operands that
 * do not fit) is done by that other kernel, from the same bytes, the whole batch of it. So is everything once the device
 * has failed, if the caller allows that.
 */
import { EtherError } from "../error.ts";
import type { Address, CopyRowsJob, Kernel, MatmulJob, ReduceJob, RowsJob, SumsJob } from "../kernel/kernel.ts";
import type { FloatDtype } from "../safetensors/dtype.ts";
import { runBatch } from "./batch.ts";
import type { DeviceJob } from "./device_job.ts";
import type { Gpu } from "./gpu.ts";
import type { Interval } from "./intervals.ts";
import { lowerCopy, lowerMatmul, lowerReduce, lowerRows } from "./jobs.ts";

/** How a kernel on a GPU behaves. */
export interface WebGpuKernelOptions {
  /** Told once when the device has failed and the other kernel goes on. @default a failure ends the work */
  readonly onFallback?: ((message: string) => void) | undefined;
}

/** A batch with more jobs than this is not worth its lists: the other kernel does it. */
const MAX_JOBS = 65_536;

/** A noted job: on the device, and here. */
interface Noted {
  /** null: not for the device. */
  readonly lowered: readonly DeviceJob[] | null;
  here(): void;
}

/** The primitives on a GPU, over the memory of another kernel. */
export class WebGpuKernel implements Kernel {
  readonly name = "webgpu";
  /** How many batches the device has done, and how many the other kernel has. */
  readonly batches: { device: number; here: number } = { device: 0, here: 0 };

  readonly #here: Kernel;
  readonly #gpu: Gpu;
  readonly #onFallback: ((message: string) => void) | undefined;
  #noted: Noted[] = [];
  #failed = false;
  #paused = false;

  /** @param here  whose memory it uses, and who stands in */
  constructor(gpu: Gpu, here: Kernel, { onFallback }: WebGpuKernelOptions = {}) {
    this.#gpu = gpu;
    this.#here = here;
    this.#onFallback = onFallback;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#here.bytes;
  }

  get base(): Address {
    return this.#here.base;
  }

  /** The device; null once it has failed. */
  get gpu(): Gpu | null {
    return this.#failed ? null : this.#gpu;
  }

  reserve(byteLength: number): void {
    this.#here.reserve(byteLength);
  }

  writeVectors(dtype: FloatDtype, address: Address, values: Float32Array, length: number): void {
    this.#here.writeVectors(dtype, address, values, length);
  }

  transformRows(job: RowsJob): void {
    this.#note(() => lowerRows(job, this.#most), () => this.#here.transformRows(job));
  }

  reduceRows(job: ReduceJob): void {
    const memory = () => this.#here.bytes.buffer;
    this.#note(() => lowerReduce(job, this.#most, memory), () => this.#here.reduceRows(job));
  }

  /** In f64, which a device has not: here, at once. */
  prepareSums(job: SumsJob): boolean {
    return this.#here.prepareSums(job);
  }

  matmul(job: MatmulJob): void {
    this.#note(() => lowerMatmul(job, this.#most), () => this.#here.matmul(job));
  }

  copyRows(job: CopyRowsJob): void {
    this.#note(() => lowerCopy(job, this.#most), () => this.#here.copyRows(job));
  }

  clear(address: Address, byteLength: number): void {
    const row = { sourceStride: 0, target: address, targetStride: byteLength, rowCount: 1, byteLength };
    this.#note(() => lowerCopy({ ...row, source: 0 }, this.#most), () => this.#here.clear(address, byteLength));
  }

  decode(dtype: FloatDtype, source: Address, count: number, target: Address): void {
    this.#here.decode(dtype, source, count, target);
  }

  encode(dtype: FloatDtype, source: Address, count: number, target: Address): number {
    return this.#here.encode(dtype, source, count, target);
  }

  /** Until it is resumed every job is done here, at once. Nothing may be noted. */
  pause(): void {
    this.#paused = true;
  }

  /** Ends {@link pause}. */
  resume(): void {
    this.#paused = false;
  }

  /** Notes a job that only the device can do; see {@link tryDevice}. */
  noteDevice(lowered: readonly DeviceJob[] | null): void {
    const here = () => {
      throw new TypeError("only the device can do this");
    };
    this.#noted.push({ lowered, here });
  }

  /** Forgets what is noted. */
  discard(): void {
    this.#noted = [];
  }

  async settle(): Promise<void> {
    if (this.#noted.length === 0) return;
    const noted = this.#noted;
    if (await this.tryDevice()) return;
    this.batches.here++;
    for (const { here } of noted) here();
  }

  /**
   * Does what is noted on the device, or not at all: then the memory is as it was.
   *
   * @param wanted  what has to come back. @default all that was written
   * @throws {EtherError} `io_error` where the device fails and nothing may stand in for it
   */
  async tryDevice(wanted?: readonly Interval[]): Promise<boolean> {
    const noted = this.#noted;
    this.#noted = [];
    if (this.#failed) return false;
    const jobs: DeviceJob[] = [];
    for (const { lowered } of noted) {
      if (lowered === null || jobs.length + lowered.length > MAX_JOBS) return false;
      for (const job of lowered) jobs.push(job);
    }
    if (jobs.length === 0) return true;
    try {
      const done = await runBatch(this.#gpu, jobs, this.#here.bytes, wanted);
      if (done) this.batches.device++;
      return done;
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  /** Goes on without the device. @throws the error, where nothing may stand in for it */
  fail(error: unknown): void {
    if (this.#onFallback === undefined || !(error instanceof EtherError)) throw error;
    if (!this.#failed) this.#onFallback(`${error.message}; going on with the ${this.#here.name} kernel`);
    this.#failed = true;
  }

  get #most(): number {
    return this.#gpu.limits.bindingByteLength;
  }

  #note(lower: () => DeviceJob[] | null, here: () => void): void {
    if (this.#paused || this.#failed) return here();
    this.#noted.push({ lowered: lower(), here });
  }
}
