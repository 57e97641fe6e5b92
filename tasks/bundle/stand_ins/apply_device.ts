/** In the place of the WebGPU backend: shaders, and what feeds them, take as much room as merging. */
import type { ApplyDeviceOptions, ApplyDevices } from "../../../runtime/apply/apply_device.ts";
import { EtherError } from "../../../runtime/error.ts";
import { kernelModule } from "../../../runtime/kernel/module.ts";

/** The CPU, always. @throws {EtherError} `unsupported` where WebGPU is asked for */
export function chooseApplyDevices({ backend }: ApplyDeviceOptions): Promise<ApplyDevices> {
  const reason = "this build has no WebGPU backend";
  if (backend === "webgpu") return Promise.reject(new EtherError("unsupported", reason));
  const name = kernelModule() === null ? "typescript" : "wasm";
  return Promise.resolve({ choice: () => ({ name, reason }), start: () => null, productCount: () => 0, close() {} });
}
