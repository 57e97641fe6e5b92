/** A GPU for applied adapters: matrices that stay on it, and whether that is worth it. */
import type {
  ApplyDevice,
  ApplyDeviceOptions,
  BackendChoice,
  MatrixPlace,
  StartableDevices,
} from "../apply/apply_device.ts";
import type { LinearJob } from "../apply/linear.ts";
import type { ApplyShop } from "../apply/shop.ts";
import { EtherError } from "../error.ts";
import type { ByteSource } from "../io/source.ts";
import { loadKernel } from "../kernel/load.ts";
import { type Gpu, type GpuOptions, openGpu } from "./gpu.ts";
import { WebGpuKernel } from "./kernel.ts";
import { multiplyResident } from "./resident_linear.ts";
import { ResidentWeights } from "./resident_weights.ts";
import { runTrial, trialText, winsFrom, type WorthWhile } from "./trial.ts";

const RESIDENT_BYTES = 8 * 2 ** 30;

/** See `openApplyDevices`. */
export async function chooseApplyDevices(options: ApplyDeviceOptions & GpuOptions): Promise<StartableDevices> {
  const forced = options.backend === "webgpu";
  let gpu: Gpu | null = null;
  try {
    gpu = await openGpu(options);
    if (forced) return new GpuDevices(gpu, `${gpu.name}: it was asked for`, () => true, options);
    if (gpu.software) return onCpu(`the GPU ${gpu.name} is a software driver`, gpu);
    const times = await runTrial(gpu);
    const text = trialText(times, gpu.name);
    const wins = times.gpu.some((milliseconds, i) => milliseconds < times.here[i]!);
    return wins ? new GpuDevices(gpu, text, winsFrom(times), options) : onCpu(text, gpu);
  } catch (error) {
    if (forced || !(error instanceof EtherError)) throw error;
    return onCpu(error.message, gpu);
  }
}

function onCpu(reason: string, gpu: Gpu | null): StartableDevices {
  gpu?.close();
  const choice = { name: loadKernel().name, reason };
  return { choice: () => choice, productCount: () => 0, start: () => null, forget() {}, close() {} };
}

/** A GPU that was chosen. */
export class GpuDevices implements StartableDevices {
  readonly #gpu: Gpu;
  readonly #weights: ResidentWeights;
  readonly #options: ApplyDeviceOptions;
  readonly #worthWhile: WorthWhile;
  #choice: BackendChoice;
  #failed = false;
  #products = 0;

  /** @param worthWhile  which products it gets */
  constructor(gpu: Gpu, reason: string, worthWhile: WorthWhile, options: ApplyDeviceOptions) {
    this.#worthWhile = worthWhile;
    this.#gpu = gpu;
    this.#options = options;
    this.#choice = { name: "webgpu", reason };
    this.#weights = new ResidentWeights(gpu, options.residentByteLength ?? RESIDENT_BYTES);
  }

  choice(): BackendChoice {
    return this.#choice;
  }

  productCount(): number {
    return this.#products;
  }

  start(): ApplyDevice | null {
    if (this.#failed) return null;
    const here = loadKernel();
    const forced = this.#options.backend === "webgpu";
    const onFallback = (message: string) => {
      if (this.#failed) return;
      this.#failed = true;
      this.#choice = { name: here.name, reason: message };
      this.#options.onNotice?.(message);
    };
    const kernel = new WebGpuKernel(this.#gpu, here, forced ? {} : { onFallback });
    return new GpuDevice(kernel, this.#weights, forced, this.#worthWhile, () => this.#products++);
  }

  forget(openSource: MatrixPlace["openSource"]): void {
    this.#weights.forget(openSource);
  }

  close(): void {
    this.#weights.close();
    this.#gpu.close();
  }
}

class GpuDevice implements ApplyDevice {
  readonly kernel: WebGpuKernel;
  readonly #weights: ResidentWeights;
  /** Sides alone are not worth the way there and back, unless somebody asks for it. */
  readonly #sidesToo: boolean;
  readonly #worthWhile: WorthWhile;
  readonly #onProduct: () => void;

  constructor(
    kernel: WebGpuKernel,
    weights: ResidentWeights,
    sidesToo: boolean,
    worthWhile: WorthWhile,
    onProduct: () => void,
  ) {
    this.#worthWhile = worthWhile;
    this.kernel = kernel;
    this.#weights = weights;
    this.#sidesToo = sidesToo;
    this.#onProduct = onProduct;
    if (!sidesToo) kernel.pause();
  }

  async multiply(job: LinearJob, place: MatrixPlace, shop: ApplyShop): Promise<boolean> {
    const { inCount, outCount } = job.weight;
    if (this.kernel.gpu === null || !this.#worthWhile(job.x.length / inCount, inCount, outCount)) return false;
    this.kernel.resume();
    try {
      await checkUnchanged(job.weight.source);
      const weight = await this.#weights.get(place, job.weight, job.signal);
      if (weight === null || !await multiplyResident(job, weight, shop, this.kernel)) return false;
      this.#onProduct();
      return true;
    } catch (error) {
      if (!(error instanceof EtherError && error.field === "webgpu")) throw error;
      this.kernel.fail(error);
      return false;
    } finally {
      if (!this.#sidesToo) this.kernel.pause();
    }
  }

  async here<T>(work: () => Promise<T>): Promise<T> {
    this.kernel.pause();
    try {
      return await work();
    } finally {
      if (this.#sidesToo) this.kernel.resume();
    }
  }

  discard(): void {
    this.kernel.discard();
  }
}

/**
 * Lets a file that gives only the bytes of one version say that it has become another one: a matrix that is on the
 * device would not tell. A file without marks, which may be far away, is looked at when it is opened.
 */
async function checkUnchanged(source: ByteSource): Promise<void> {
  if (source.mark !== undefined) await source.read(0, new Uint8Array(1));
}
