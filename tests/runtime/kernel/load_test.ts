import { assertEquals, assertThrows } from "@std/assert";
import { compileKernel, renderKernel } from "../../../tasks/build.ts";
import { vectorByteLength } from "../../../runtime/kernel/kernel.ts";
import { laneOf } from "../../../runtime/kernel/lanes.ts";
import { loadKernel } from "../../../runtime/kernel/load.ts";
import { SpecificationKernel } from "../../../runtime/kernel/specification.ts";
import { kernelModule, WasmKernel } from "../../../runtime/kernel/wasm.ts";

Deno.test("loadKernel: is WASM where the host knows SIMD, else the specification", () => {
  assertEquals(loadKernel().name, "wasm");
  const { validate } = WebAssembly;
  try {
    WebAssembly.validate = () => false;
    assertEquals(loadKernel().name, "typescript");
  } finally {
    WebAssembly.validate = validate;
  }
});

Deno.test("kernelModule: imports nothing, and is compiled once", () => {
  assertEquals(WebAssembly.Module.imports(kernelModule()), []);
  assertEquals(kernelModule() === kernelModule(), true);
});

Deno.test("generated.ts is what assembly/ compiles to", async () => {
  const path = new URL("../../../runtime/kernel/generated.ts", import.meta.url);
  assertEquals(await Deno.readTextFile(path) === renderKernel(await compileKernel()), true);
});

for (const kernel of [new WasmKernel(), new SpecificationKernel()]) {
  Deno.test(`${kernel.name}: reserve grows the memory and keeps its bytes`, () => {
    assertEquals(kernel.base % 64, 0);
    kernel.reserve(kernel.base + 8);
    kernel.bytes[kernel.base] = 7;
    const byteLength = kernel.bytes.byteLength;
    kernel.reserve(byteLength);
    assertEquals(kernel.bytes.byteLength, byteLength);
    kernel.reserve(byteLength + 1);
    assertEquals(kernel.bytes.byteLength > byteLength, true);
    assertEquals(kernel.bytes[kernel.base], 7);
    assertThrows(() => kernel.reserve(2 ** 32 + 1), RangeError);
  });

  Deno.test(`${kernel.name}: writeVectors keeps the order of lanes and pads with zeros`, () => {
    const values = Float32Array.from({ length: 22 }, (_, index) => index + 1);
    for (const dtype of ["F32", "BF16", "F16"] as const) {
      kernel.reserve(kernel.base + 256);
      kernel.bytes.fill(0xff, kernel.base, kernel.base + 256);
      kernel.writeVectors(dtype, kernel.base, values, 11);
      const got = new Float32Array(kernel.bytes.slice(kernel.base, kernel.base + 2 * vectorByteLength(11)).buffer);
      const expected = new Float32Array(32);
      values.forEach((x, index) => expected[Math.floor(index / 11) * 16 + laneOf(dtype, index % 11)] = x);
      assertEquals(got, expected);
      if (dtype !== "F32") assertEquals([...got.subarray(0, 8)], [1, 3, 5, 7, 2, 4, 6, 8]);
    }
  });
}
