/**
 * The kernel's compiled module: one for each isolate, which all kernels of the isolate are instances of.
 *
 * It is compiled when the first kernel is asked for. A host that compiles nothing while it answers a request (workerd)
 * either asks for it once at top level, or is given the module by whoever deploys it: {@link useKernelModule}.
 */
import { EtherError } from "../error.ts";
import { kernelBytes } from "./generated.ts";

/** What of a host's `WebAssembly` decides whether the kernel can run there. */
export type WasmHost = Pick<typeof WebAssembly, "validate" | "Module">;

/** Exports that every build of the kernel has; see `assembly/index.ts`. */
const EXPORTS = ["memory", "base", "transformRows", "reduceRows", "prepareSums", "matmul", "decode", "encode"];

let known: WebAssembly.Module | null | undefined;

/** The module, the same one each time; null where the host cannot run it. It can be posted to workers. */
export function kernelModule(): WebAssembly.Module | null {
  return known === undefined ? known = compileKernel(globalThis.WebAssembly) : known;
}

/**
 * Makes every kernel from now on an instance of this module, e.g. of the package's `kernel.wasm` as a bundler imports it.
 *
 * @throws {EtherError} `usage` for a module that is not the kernel
 */
export function useKernelModule(module: WebAssembly.Module): void {
  const names = new Set(WebAssembly.Module.exports(module).map(({ name }) => name));
  const missing = EXPORTS.find((name) => !names.has(name));
  if (missing !== undefined || WebAssembly.Module.imports(module).length > 0) {
    const reason = missing === undefined ? "has imports" : `does not export ${missing}`;
    throw new EtherError("usage", `the WebAssembly module is not the kernel: it ${reason}`, {
      hint: "take kernel.wasm from the same version of the package",
    });
  }
  known = module;
}

/**
 * Compiles the kernel on a host.
 *
 * @param host  its `WebAssembly`, if it has one
 * @returns null where there is none, where it does not know SIMD, and where it may not compile now
 */
export function compileKernel(host: WasmHost | undefined): WebAssembly.Module | null {
  if (host === undefined) return null;
  const bytes = kernelBytes();
  if (!host.validate(bytes)) return null;
  try {
    return new host.Module(bytes);
  } catch {
    // The bytes are valid: it is the host that refuses, by its policy.
    return null;
  }
}
