/** Who computes `linear` for a server, and why: the CPU, until it is known that a GPU is worth it. */
import {
  type ApplyBackend,
  type BackendChoice,
  openApplyDevices,
  type StartableDevices,
} from "../apply/apply_device.ts";
import { EtherError } from "../error.ts";
import { kernelModule } from "../kernel/module.ts";

/** How {@link LinearDevices} are chosen. */
export interface LinearDevicesOptions {
  /**
   * `wasm`: the CPU. `webgpu`: whatever GPU there is, or an error. `auto`: the CPU, and a GPU after the first `linear`,
   * where it is a real one that wins a short trial.
   */
  readonly backend: ApplyBackend;
  /** Told once when a GPU that `auto` chose has failed and the CPU goes on. */
  readonly onNotice?: ((message: string) => void) | undefined;
  /** Told once, when it is decided. */
  readonly onChoice?: ((choice: BackendChoice) => void) | undefined;
  /** Looks for a GPU. @default {@link openApplyDevices} */
  readonly find?: typeof openApplyDevices | undefined;
}

/** By then the first answer is out: a driver that is loaded stops everything else for some ten milliseconds. */
const LOOK_AFTER_MILLISECONDS = 100;

/** What a server's prepared adapters share. */
export class LinearDevices {
  readonly #options: LinearDevicesOptions;
  #devices: StartableDevices | null = null;
  /** Why there are none, once that is known. */
  #reason: string | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #looking: Promise<void> | null = null;
  #closed = false;

  private constructor(options: LinearDevicesOptions) {
    this.#options = options;
  }

  /** The CPU, which takes no choosing. */
  static cpu(): LinearDevices {
    const devices = new LinearDevices({ backend: "wasm" });
    devices.#reason = "it was asked for, or nothing else was";
    return devices;
  }

  /**
   * Decides what can be decided at once; only `webgpu` takes time.
   *
   * @throws {EtherError} for `webgpu`: `unsupported` where there is no GPU
   */
  static async open(options: LinearDevicesOptions): Promise<LinearDevices> {
    const { backend } = options;
    const devices = new LinearDevices(options);
    if (backend === "webgpu") await devices.#find("webgpu");
    else if (backend === "wasm") devices.#decide("it was asked for");
    else if (!hasWebGpu()) devices.#decide("this runtime has no WebGPU");
    return devices;
  }

  /** Who computes now. */
  choice(): BackendChoice {
    if (this.#devices !== null) return this.#devices.choice();
    const reason = this.#reason ?? "undecided: a GPU is looked for after the first linear";
    return { name: kernelModule() === null ? "typescript" : "wasm", reason };
  }

  /** What keeps matrices; null where the CPU computes, and once it is closed. */
  get devices(): StartableDevices | null {
    return !this.#closed && this.#devices?.choice().name === "webgpu" ? this.#devices : null;
  }

  /** Says that a `linear` was done: the first one makes `auto` look for a GPU, in its own time. */
  onLinear(): void {
    if (this.#closed || this.#reason !== null || this.#devices !== null || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#looking = this.#look(), LOOK_AFTER_MILLISECONDS);
  }

  /** Gives a GPU back; nobody may be using it. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#looking;
    this.#devices?.close();
  }

  async #look(): Promise<void> {
    try {
      await this.#find("auto");
    } catch (error) {
      // Whatever it is, the CPU does.
      this.#decide(error instanceof EtherError ? error.toLine() : `WebGPU failed: ${error}`);
    }
  }

  async #find(backend: "auto" | "webgpu"): Promise<void> {
    const { onNotice, find = openApplyDevices } = this.#options;
    this.#devices = await find({ backend, onNotice }) as StartableDevices;
    if (!this.#closed) this.#options.onChoice?.(this.choice());
  }

  #decide(reason: string): void {
    this.#reason = reason;
    if (!this.#closed) this.#options.onChoice?.(this.choice());
  }
}

function hasWebGpu(): boolean {
  return (globalThis as { navigator?: { gpu?: unknown } }).navigator?.gpu !== undefined;
}
