/** The best kernel that the host can run. Both give the same bytes. */
import { KERNEL_BYTES } from "./generated.ts";
import type { Kernel } from "./kernel.ts";
import { SpecificationKernel } from "./specification.ts";
import { WasmKernel } from "./wasm.ts";

/** A new kernel with a memory of its own: WASM where the host knows SIMD, else plain TypeScript. */
export function loadKernel(): Kernel {
  return WebAssembly.validate(KERNEL_BYTES) ? new WasmKernel() : new SpecificationKernel();
}
