/** A WebGPU device with its limits as they are, its shaders checked, and its failures as errors of ours. */
import { EtherError } from "../error.ts";
import type { FloatDtype } from "../safetensors/dtype.ts";
import { SHADERS } from "./generated.ts";

/** What the device allows. */
export interface GpuLimits {
  /** Bytes of a buffer. */
  readonly bufferByteLength: number;
  /** Bytes of a buffer that a shader sees at once; 128 MiB on many devices. */
  readonly bindingByteLength: number;
  /** Workgroups in each dimension of a dispatch. */
  readonly workgroupCount: number;
}

/** What may be asked of a device. */
export interface GpuOptions {
  /** Less than the device allows. @default what it allows */
  readonly limits?: Partial<GpuLimits> | undefined;
}

/** The primitives. */
export type ShaderName = Exclude<keyof typeof SHADERS, "elements" | "weights">;

/** What a shader binds beside the memory: nothing, something that it writes, or inputs and weights. */
type ExtraLayout = "none" | "written" | "product";

const EXTRA: Readonly<Partial<Record<ShaderName, ExtraLayout>>> = {
  place_inputs: "written",
  transpose_weights: "written",
  scan_weights: "written",
  product_few: "product",
  product_many: "product",
};

/** `DTYPE` of elements.wgsl. */
const DTYPE_CODES: Readonly<Record<FloatDtype, number>> = { F32: 0, BF16: 1, F16: 2 };

/** Names of drivers that compute on the CPU. */
const SOFTWARE = /llvmpipe|lavapipe|swiftshader|softpipe|software|warp|basic render/i;

const COMPUTE = 4;
const STORAGE = { read: "read-only-storage", write: "storage" } as const;

/**
 * The best adapter's device.
 *
 * @throws {EtherError} `unsupported` where there is no WebGPU, no adapter, or a shader does not compile
 */
export async function openGpu({ limits = {} }: GpuOptions = {}): Promise<Gpu> {
  const hint = "use the wasm backend, or install a driver (Debian's software one is mesa-vulkan-drivers)";
  const api = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  if (api === undefined) throw new EtherError("unsupported", "this runtime has no WebGPU", { field: "webgpu", hint });
  const adapter = await api.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  if (adapter === null) throw new EtherError("unsupported", "WebGPU finds no adapter", { field: "webgpu", hint });
  const { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupsPerDimension } = adapter.limits;
  try {
    const device = await adapter.requestDevice({
      requiredLimits: { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupsPerDimension },
    });
    const given = device.limits;
    const most = (value: number, asked: number | undefined) => Math.min(value, asked ?? value);
    const gpu = new Gpu(adapter, device, {
      bufferByteLength: most(wholeWords(given.maxBufferSize), limits.bufferByteLength),
      bindingByteLength: most(wholeWords(given.maxStorageBufferBindingSize), limits.bindingByteLength),
      workgroupCount: most(given.maxComputeWorkgroupsPerDimension, limits.workgroupCount),
    });
    await gpu.checkShaders();
    return gpu;
  } catch (error) {
    if (error instanceof EtherError) throw error;
    const message = `the GPU gives no device: ${messageOf(error)}`;
    throw new EtherError("unsupported", message, { field: "webgpu", hint, cause: error });
  }
}

/** One device. Work on it goes one piece after the other. */
export class Gpu {
  /** As the driver calls it. */
  readonly name: string;
  /** True where a CPU does the work. */
  readonly software: boolean;
  readonly limits: GpuLimits;
  readonly device: GPUDevice;
  /** Bind groups of the second set, by what a shader binds there. */
  readonly extraLayouts: Readonly<Record<Exclude<ExtraLayout, "none">, GPUBindGroupLayout>>;
  /** The first set: memory, results, flags, and the job's numbers at a dynamic offset. */
  readonly layout: GPUBindGroupLayout;

  readonly #modules = new Map<ShaderName, GPUShaderModule>();
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();
  readonly #buffers = new Map<string, GPUBuffer>();
  #lost: string | null = null;
  #last: Promise<unknown> = Promise.resolve();

  /** Use {@link openGpu}. */
  constructor(adapter: GPUAdapter, device: GPUDevice, limits: GpuLimits) {
    const { info } = adapter;
    this.device = device;
    this.limits = limits;
    this.name = [info.description, info.device, `${info.vendor} ${info.architecture}`.trim()]
      .find((name) => name !== "" && name !== undefined) ?? "unnamed";
    const fallback = [adapter, info] as { isFallbackAdapter?: boolean }[];
    this.software = SOFTWARE.test(this.name) || fallback.some(({ isFallbackAdapter }) => isFallbackAdapter === true);
    device.lost.then(({ message }) => this.#lost = message || "the device was lost");
    const storage = (binding: number, access: keyof typeof STORAGE): GPUBindGroupLayoutEntry => {
      return { binding, visibility: COMPUTE, buffer: { type: STORAGE[access] } };
    };
    const uniform = { binding: 3, visibility: COMPUTE, buffer: { type: "uniform", hasDynamicOffset: true } } as const;
    this.layout = device.createBindGroupLayout({
      entries: [storage(0, "write"), storage(1, "write"), storage(2, "write"), uniform],
    });
    this.extraLayouts = {
      written: device.createBindGroupLayout({ entries: [storage(0, "write")] }),
      product: device.createBindGroupLayout({ entries: [storage(0, "read"), storage(1, "read")] }),
    };
    // An error that no scope catches has been told to whoever waits, or is of nobody's work.
    device.addEventListener("uncapturederror", (event) => event.preventDefault());
  }

  /** Compiles every shader. @throws {EtherError} `unsupported` with the first message */
  async checkShaders(): Promise<void> {
    const names = Object.keys(SHADERS).filter((name) => name !== "elements" && name !== "weights") as ShaderName[];
    for (const name of names) {
      const shared = name.startsWith("product") ? `${SHADERS.elements}\n${SHADERS.weights}\n` : `${SHADERS.elements}\n`;
      const module = this.device.createShaderModule({ label: name, code: shared + SHADERS[name] });
      const { messages } = await module.getCompilationInfo();
      const fault = messages.find(({ type }) => type === "error");
      if (fault !== undefined) {
        const line = fault.lineNum - (shared.split("\n").length - 1);
        const where = `${name}.wgsl${line > 0 ? `:${line}` : ""}`;
        throw new EtherError("unsupported", `${where} does not compile on ${this.name}: ${fault.message}`, {
          field: "webgpu",
          hint: "use the wasm backend",
        });
      }
      this.#modules.set(name, module);
    }
  }

  /** A shader for elements of one dtype; made once. */
  pipeline(shader: ShaderName, dtype: FloatDtype): Promise<GPUComputePipeline> {
    const key = `${shader}/${dtype}`;
    const known = this.#pipelines.get(key);
    if (known !== undefined) return known;
    const extra = EXTRA[shader] ?? "none";
    const layouts = extra === "none" ? [this.layout] : [this.layout, this.extraLayouts[extra]];
    const made = this.device.createComputePipelineAsync({
      label: key,
      layout: this.device.createPipelineLayout({ bindGroupLayouts: layouts }),
      compute: {
        module: this.#modules.get(shader)!,
        entryPoint: "main",
        constants: { dtype: DTYPE_CODES[dtype] },
      },
    });
    this.#pipelines.set(key, made);
    return made;
  }

  /** A buffer that is kept for the next who asks by this name; its contents are anybody's. */
  buffer(name: string, byteLength: number, usage: number): GPUBuffer {
    const known = this.#buffers.get(name);
    if (known !== undefined && known.size >= byteLength) return known;
    known?.destroy();
    this.#buffers.delete(name);
    const size = Math.min(this.limits.bufferByteLength, Math.max(256, 2 ** Math.ceil(Math.log2(byteLength))));
    const buffer = this.device.createBuffer({ label: name, size, usage });
    this.#buffers.set(name, buffer);
    return buffer;
  }

  /**
   * Does a piece of work, after those before it.
   *
   * @throws {EtherError} `io_error` where the device is lost, refuses a command, or has no memory left
   */
  run<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#last.then(() => this.#guarded(work));
    this.#last = run.catch(() => {});
    return run;
  }

  /** Ends the device; what is still asked of it fails. */
  close(): void {
    this.device.destroy();
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    if (this.#lost !== null) throw this.#failure(this.#lost);
    const scopes = ["internal", "out-of-memory", "validation"] as const;
    for (const scope of scopes) this.device.pushErrorScope(scope);
    const outcome = await work().then((value) => ({ value }), (error: unknown) => ({ error }));
    const caught: string[] = [];
    for (const scope of scopes.toReversed()) {
      const error = await this.device.popErrorScope().catch(() => null);
      if (error !== null) caught.push(scope === "out-of-memory" ? "out of memory" : error.message);
    }
    // The promise of a loss comes after the failure that it explains.
    if (caught.length > 0 || "error" in outcome) {
      // One of them may be what was refused.
      for (const buffer of this.#buffers.values()) buffer.destroy();
      this.#buffers.clear();
      await Promise.race([this.device.lost, new Promise((resolve) => setTimeout(resolve, 10))]);
    }
    if (this.#lost !== null) throw this.#failure(this.#lost);
    if (caught.length > 0) throw this.#failure(caught[0]!);
    if ("error" in outcome) {
      throw outcome.error instanceof EtherError
        ? outcome.error
        : this.#failure(messageOf(outcome.error), outcome.error);
    }
    return outcome.value;
  }

  #failure(message: string, cause?: unknown): EtherError {
    const hint = "use the wasm backend";
    return new EtherError("io_error", `the GPU ${this.name} failed: ${message}`, { field: "webgpu", hint, cause });
  }
}

function wholeWords(byteLength: number): number {
  return Math.floor(byteLength / 256) * 256;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
