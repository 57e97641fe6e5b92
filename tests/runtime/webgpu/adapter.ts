/** The GPU of this machine, for tests: a software driver will do. */
import type { ApplyDevices } from "../../../runtime/apply/apply_device.ts";
import { EtherError } from "../../../runtime/error.ts";
import { chooseApplyDevices } from "../../../runtime/webgpu/apply_device.ts";
import { type Gpu, type GpuOptions, openGpu } from "../../../runtime/webgpu/gpu.ts";

const missing = await openGpu().then((gpu) => {
  console.log(`webgpu: ${gpu.name}${gpu.software ? ", a software driver" : ""}`);
  gpu.close();
  return null;
}, (error: unknown) => error);
if (missing !== null) {
  if (!(missing instanceof EtherError && missing.code === "unsupported")) throw missing;
  console.log(`webgpu: skipped, as ${missing.message} (apt-get install mesa-vulkan-drivers)`);
}

/** A test that needs a device, skipped where there is none. */
export function gpuTest(name: string, run: (gpu: Gpu) => Promise<void>, options: GpuOptions = {}): void {
  Deno.test({
    name: `webgpu: ${name}`,
    ignore: missing !== null,
    fn: async () => {
      const gpu = await openGpu(options);
      try {
        await run(gpu);
      } finally {
        gpu.close();
      }
    },
  });
}

/** The same with a device that was asked for, ready for applied adapters. */
export function devicesTest(name: string, run: (devices: ApplyDevices) => Promise<void>, options: GpuOptions = {}) {
  Deno.test({
    name: `webgpu: ${name}`,
    ignore: missing !== null,
    fn: async () => {
      const devices = await chooseApplyDevices({ ...options, backend: "webgpu" });
      try {
        await run(devices);
      } finally {
        devices.close();
      }
    },
  });
}
