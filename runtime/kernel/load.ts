/** The best kernel that the host can run. Both give the same bytes. */
import { kernelBytes } from "./generated.ts";
import type { Kernel } from "./kernel.ts";
import { SpecificationKernel } from "./specification.ts";
import { WasmKernel } from "./wasm.ts";

/** A new kernel with a memory of its own: WASM where the host knows SIMD, else plain TypeScript. */
export function loadKernel(): Kernel {
  const simd = typeof WebAssembly !== "undefined" && WebAssembly.validate(kernelBytes());
  return simd ? new WasmKernel() : new SpecificationKernel();
}
