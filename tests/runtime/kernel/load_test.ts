import { assertEquals, assertThrows } from "@std/assert";
import { compileKernel as compileSources, renderKernel } from "../../../tasks/build.ts";
import { startDigest } from "../../../runtime/deno/digest.ts";
import { openFileSource } from "../../../runtime/deno/file_source.ts";
import { prepareMerge } from "../../../runtime/deno/library.ts";
import { EtherError } from "../../../runtime/error.ts";
import { Engine } from "../../../runtime/execute/engine.ts";
import { TILE_BYTES } from "../../../runtime/execute/memory.ts";
import { kernelBytes } from "../../../runtime/kernel/generated.ts";
import { type Kernel, vectorByteLength } from "../../../runtime/kernel/kernel.ts";
import { laneOf } from "../../../runtime/kernel/lanes.ts";
import { loadKernel } from "../../../runtime/kernel/load.ts";
import { compileKernel, kernelModule, useKernelModule } from "../../../runtime/kernel/module.ts";
import { SpecificationKernel } from "../../../runtime/kernel/specification.ts";
import { WasmKernel } from "../../../runtime/kernel/wasm.ts";
import type { MergePlan, PlannedFile } from "../../../runtime/plans/plan.ts";

Deno.test("loadKernel: is WASM here, and the specification where there is no module", () => {
  assertEquals(loadKernel().name, "wasm");
  assertEquals(loadKernel(null).name, "typescript");
  assertEquals(loadKernel(kernelModule()).name, "wasm");
});

Deno.test("compileKernel: null without WebAssembly, without SIMD, and where the host refuses to compile", () => {
  const { validate, Module } = WebAssembly;
  const refuse = function () {
    throw new WebAssembly.CompileError("Wasm code generation disallowed by embedder");
  } as unknown as typeof Module;
  assertEquals(compileKernel({ validate, Module }) instanceof Module, true);
  assertEquals(compileKernel(undefined), null);
  assertEquals(compileKernel({ validate: () => false, Module }), null);
  assertEquals(compileKernel({ validate, Module: refuse }), null);
  // What decides is whether the host accepts these very bytes.
  const seen: number[] = [];
  compileKernel({ validate: (bytes) => seen.push(bytes.byteLength) < 0, Module });
  assertEquals(seen, [kernelBytes().byteLength]);
});

Deno.test("kernelModule: imports nothing, and is compiled once", () => {
  assertEquals(WebAssembly.Module.imports(kernelModule()!), []);
  assertEquals(kernelModule() === kernelModule(), true);
});

Deno.test("useKernelModule: what is given is what kernels are made of; anything else is refused", () => {
  const before = kernelModule()!;
  const empty = new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
  const error = assertThrows(() => useKernelModule(empty), EtherError);
  assertEquals([(error as EtherError).code, kernelModule() === before], ["usage", true]);
  const given = new WebAssembly.Module(kernelBytes());
  try {
    useKernelModule(given);
    assertEquals(kernelModule() === given, true);
    assertEquals(loadKernel().name, "wasm");
  } finally {
    useKernelModule(before);
  }
});

Deno.test("fixtures/llama merged with either kernel: the same bytes", async () => {
  const { plan } = await prepareMerge({
    base: "fixtures/llama/base",
    adapters: [{ path: "fixtures/llama/etherplus-reference" }, { path: "fixtures/llama/ether", strength: 0.7 }],
  });
  let transformed = 0;
  for (const file of plan.files) {
    const [wasm, typescript] = await Promise.all([loadKernel(), loadKernel(null)].map((kernel) => {
      return digestOf(plan, file, kernel);
    }));
    assertEquals(wasm, typescript, file.path);
    transformed += file.spans.filter(({ kind }) => kind === "tensor").length;
  }
  assertEquals(transformed > 20, true, `only ${transformed} tensors were computed`);
});

Deno.test("generated.ts is what assembly/ compiles to", async () => {
  const path = new URL("../../../runtime/kernel/generated.ts", import.meta.url);
  assertEquals(await Deno.readTextFile(path) === renderKernel(await compileSources()), true);
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

/** SHA-256 of a planned file as a kernel computes it. */
async function digestOf(plan: MergePlan, file: PlannedFile, kernel: Kernel): Promise<string> {
  const digest = startDigest();
  const refuse = () => {
    throw new TypeError("nothing is written");
  };
  const host = { kernel, openSource: openFileSource, openSink: refuse, startDigest };
  const engine = new Engine(host, { files: plan.files, output: null, tileByteLength: TILE_BYTES });
  try {
    await engine.produce(file, 0, file.size, (_, bytes) => Promise.resolve(digest.update(bytes)));
  } finally {
    engine.close();
  }
  return digest.finish().toHex();
}
