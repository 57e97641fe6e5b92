/** What stands between applied adapters and another device than the CPU. */
import type { OpenSource } from "../io/folder.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { LinearJob } from "./linear.ts";
import type { ApplyShop } from "./shop.ts";

/** Who the caller wants to compute. */
export type ApplyBackend = "auto" | "wasm" | "webgpu";

/** The values of {@link ApplyBackend}. */
export const APPLY_BACKENDS: readonly ApplyBackend[] = ["auto", "wasm", "webgpu"];

/** Who computes, and why. */
export interface BackendChoice {
  /** `typescript` where the host runs no WASM SIMD. */
  readonly name: "wasm" | "typescript" | "webgpu";
  /** In words, for a log. */
  readonly reason: string;
}

/** How a device is chosen and used. */
export interface ApplyDeviceOptions {
  /** `auto` takes a GPU where it is a real one that wins a short trial; `webgpu` takes what there is, or fails. */
  readonly backend: "auto" | "webgpu";
  /** Bytes of matrices that may stay on the device; what goes beyond is done by the CPU. @default 8 GiB */
  readonly residentByteLength?: number | undefined;
  /** Told once when the device has failed and the CPU goes on. */
  readonly onNotice?: ((message: string) => void) | undefined;
}

/** The outcome of a choice, which several prepared adapters may share, with the matrices that are on the device. */
export interface ApplyDevices {
  /** Who computes now. */
  choice(): BackendChoice;
  /** How many products with a matrix the device has done. */
  productCount(): number;
  /** Gives the device back. */
  close(): void;
}

/** What {@link ApplyDevices} are inside. */
export interface StartableDevices extends ApplyDevices {
  /** The device for one set of prepared adapters; null where the CPU was chosen, or goes on. */
  start(): ApplyDevice | null;
  /** Gives back the memory of the matrices of one storage, which nobody uses any more. */
  forget(openSource: OpenSource): void;
}

/**
 * Looks for a GPU and decides.
 *
 * @throws {EtherError} for `webgpu`: `unsupported` where there is none
 */
export async function openApplyDevices(options: ApplyDeviceOptions): Promise<ApplyDevices> {
  // Shaders and all are loaded only where they are wanted.
  const { chooseApplyDevices } = await import("../webgpu/apply_device.ts");
  return await chooseApplyDevices(options);
}

/** Names a matrix for as long as a device is open. */
export interface MatrixPlace {
  /** What opens the file: equal locators of other storages are other files. */
  readonly openSource: OpenSource;
  readonly locator: string;
  /** The first byte. */
  readonly offset: number;
}

/** A device that keeps a base's matrices, at work for one set of prepared adapters. */
export interface ApplyDevice {
  /** Over memory that is here. */
  readonly kernel: Kernel;
  /**
   * Fills `job.y` from a matrix that is on the device, or is brought there.
   *
   * @param place  the matrix: whose files they are, and its name among them
   * @returns false where the device cannot
   * @throws {EtherError} `io_error` where the device fails and nothing may stand in for it
   */
  multiply(job: LinearJob, place: MatrixPlace, shop: ApplyShop): Promise<boolean>;
  /** Does something with the kernel here alone, at once. */
  here<T>(work: () => Promise<T>): Promise<T>;
  /** Forgets work that nobody waits for any more. */
  discard(): void;
}
