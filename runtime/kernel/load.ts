/** The best kernel that the host can run. Both give the same bytes. */
import type { Kernel } from "./kernel.ts";
import { kernelModule } from "./module.ts";
import { SpecificationKernel } from "./specification.ts";
import { WasmKernel } from "./wasm.ts";

/**
 * A new kernel with a memory of its own: WASM where the host knows SIMD and lets it be compiled, else plain TypeScript.
 *
 * @param module  what to instantiate; null: take plain TypeScript. @default the isolate's one module
 */
export function loadKernel(module: WebAssembly.Module | null = kernelModule()): Kernel {
  return module === null ? new SpecificationKernel() : new WasmKernel(module);
}
