/** What becomes of work on a device that is lost, refuses a command, or is not there. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { prepareApply } from "../../../runtime/apply/prepare_apply.ts";
import { EtherError } from "../../../runtime/error.ts";
import { loadKernel } from "../../../runtime/kernel/load.ts";
import { chooseApplyDevices, GpuDevices } from "../../../runtime/webgpu/apply_device.ts";
import { openGpu } from "../../../runtime/webgpu/gpu.ts";
import { WebGpuKernel } from "../../../runtime/webgpu/kernel.ts";
import { ResidentWeights } from "../../../runtime/webgpu/resident_weights.ts";
import { winsFrom } from "../../../runtime/webgpu/trial.ts";
import type { FloatDtype } from "../../../runtime/safetensors/dtype.ts";
import { MemorySource } from "../../../runtime/io/source.ts";
import { applyProblem, drawActivations, linearOf, MODULE } from "../apply/activations.ts";
import { assertWithinTolerance, compareTensor } from "../../golden/compare.ts";
import { buildProblem, computeTarget, type Problem, targetOf } from "../execute/problem.ts";
import { devicesTest, gpuTest } from "./adapter.ts";

const PROBLEM: Problem = {
  ...{ seed: 71, dtype: "BF16", outer: 96, inner: 64 },
  adapters: [{ variant: "etherplus", sides: ["in", "out"], layout: "reference", numBlocks: 4 }],
};

gpuTest("a lost device: io_error where nothing may stand in", async (gpu) => {
  const built = await buildProblem(PROBLEM);
  const kernel = new WebGpuKernel(gpu, loadKernel());
  await computeTarget(built, { kernel, tileByteLength: 2000 });
  gpu.device.destroy();
  const error = await assertRejects(() => computeTarget(built, { kernel }), EtherError);
  assertEquals(error.code, "io_error");
  assertStringIncludes(error.message, "lost");
  await assertRejects(() => computeTarget(built, { kernel }), EtherError, "lost");
});

gpuTest("a lost device: the other kernel's bytes, and one line, where it may stand in", async (gpu) => {
  const built = await buildProblem(PROBLEM);
  const lines: string[] = [];
  const kernel = new WebGpuKernel(gpu, loadKernel(), { onFallback: (line) => void lines.push(line) });
  gpu.device.destroy();
  assertEquals(await computeTarget(built, { kernel, tileByteLength: 2000 }), await computeTarget(built));
  assertEquals(await computeTarget(built, { kernel }), await computeTarget(built));
  assertEquals(lines.length, 1, lines.join("\n"));
  assertStringIncludes(lines[0]!, "going on with the wasm kernel");
  assertEquals(kernel.gpu, null);
});

gpuTest("a device that is lost in the middle: what is left is done here, within the tolerance", async (gpu) => {
  const built = await buildProblem(PROBLEM);
  const lines: string[] = [];
  const kernel = new WebGpuKernel(gpu, loadKernel(), { onFallback: (line) => void lines.push(line) });
  const settle = kernel.settle.bind(kernel);
  kernel.settle = async () => {
    await settle();
    if (kernel.batches.device === 3) gpu.device.destroy();
  };
  assertWithinTolerance(
    "lost",
    compareTensor(await computeTarget(built, { kernel, tileByteLength: 700 }), targetOf(built)),
  );
  assertEquals([kernel.batches.device, lines.length], [3, 1], lines.join("\n"));
});

gpuTest("a command that the device refuses is an io_error, and the device goes on", async (gpu) => {
  const refused = gpu.run(() => {
    gpu.device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
    return Promise.resolve();
  });
  const error = await assertRejects(() => refused, EtherError);
  assertEquals([error.code, error.field], ["io_error", "webgpu"]);
  assertEquals(await gpu.run(() => Promise.resolve(7)), 7);
});

gpuTest("more bytes than the device has is an io_error", async (gpu) => {
  const most = 2 ** 52;
  const asked = gpu.run(() => {
    gpu.device.createBuffer({ size: most, usage: GPUBufferUsage.STORAGE });
    return Promise.resolve();
  });
  assertEquals((await assertRejects(() => asked, EtherError)).code, "io_error");
});

gpuTest("resident weights: what goes beyond the room, or is not for the device, stays out", async (gpu) => {
  const weights = new ResidentWeights(gpu, 20_000);
  const openSource = () => new MemorySource("", new Uint8Array());
  const place = (locator: string) => ({ openSource, locator, offset: 0 });
  const weight = (values: Float32Array) => ({
    ...{ source: new MemorySource("w", new Uint8Array(values.buffer)), offset: 0, dtype: "F32" as const },
    ...{ inCount: 40, outCount: 60, storedInOut: false },
  });
  const ones = weight(new Float32Array(2400).fill(1));
  const first = await weights.get(place("a"), ones);
  assertEquals(first?.slabs.map(({ rowCount }) => rowCount), [60]);
  assert(await weights.get(place("a"), ones) === first, "a second call finds it");
  assert(await weights.get({ ...place("a"), openSource: () => openSource() }, ones) !== first, "another storage's");
  assertEquals(await weights.get(place("b"), ones), null, "there is no room for a third");
  assertEquals(weights.byteLength, 2 * 9600);
  weights.close();
  // As F32, and as the two elements that the words of 16-bit dtypes hold.
  const unfit: [FloatDtype, number][] = [
    ...([0x7fc00000, 0xff800000, 0x00000001, 0x0d7fffff].map((word) => ["F32", word] as [FloatDtype, number])),
    ...([0x3f807fc0, 0xff803f80, 0x00013f80, 0x3f800d7f].map((word) => ["BF16", word] as [FloatDtype, number])),
    ...([0x3c007e00, 0xfc003c00].map((word) => ["F16", word] as [FloatDtype, number])),
  ];
  for (const [dtype, word] of unfit) {
    const own = new ResidentWeights(gpu, 20_000);
    const fit = dtype === "F32" ? 0x3f800000 : dtype === "BF16" ? 0x3f803f80 : 0x3c003c00;
    const words = new Uint32Array(dtype === "F32" ? 2400 : 1200).fill(fit);
    const source = () => new MemorySource("w", new Uint8Array(words.buffer));
    const stored = { offset: 0, dtype, inCount: 40, outCount: 60, storedInOut: false };
    assert(await own.get(place("fit"), { ...stored, source: source() }) !== null, dtype);
    own.close();
    words[words.length - 1] = word;
    const other = new ResidentWeights(gpu, 20_000);
    assertEquals(
      await other.get(place("unfit"), { ...stored, source: source() }),
      null,
      `${dtype} ${word.toString(16)}`,
    );
    assertEquals(other.byteLength, 0);
    other.close();
  }
});

devicesTest("linear on a lost device: io_error where it was asked for", async (devices) => {
  const built = await buildProblem(PROBLEM);
  const adapters = [{ place: built.storage.place("adapter0") }];
  await using apply = await prepareApply(
    { base: built.storage.place("base"), adapters, backend: devices },
    built.storage,
  );
  const x = drawActivations(PROBLEM, 3, 64);
  await apply.linear(MODULE, x);
  assertEquals(apply.backendChoice().name, "webgpu");
  devices.close();
  assertEquals((await assertRejects(() => apply.linear(MODULE, x), EtherError)).code, "io_error");
});

gpuTest(
  "linear on a device that auto chose: lost, the CPU goes on with the same call, and says so once",
  async (gpu) => {
    const built = await buildProblem(PROBLEM);
    const adapters = [{ place: built.storage.place("adapter0") }];
    const lines: string[] = [];
    const onNotice = (line: string) => void lines.push(line);
    const large = (tokenCount: number) => tokenCount > 2;
    const devices = new GpuDevices(gpu, "a trial", large, { backend: "auto", onNotice });
    const request = { base: built.storage.place("base"), adapters, backend: devices };
    await using first = await prepareApply(request, built.storage);
    await using second = await prepareApply(request, built.storage);
    const x = drawActivations(PROBLEM, 3, 64);
    const expected = await linearOf(built, x);
    const one = x.subarray(0, 64);
    assertEquals(await first.linear(MODULE, one), expected.subarray(0, 96), "not worth it: the CPU's bytes");
    assertEquals(devices.productCount(), 0);
    await first.linear(MODULE, x);
    assertEquals([devices.productCount(), first.backendChoice().name], [1, "webgpu"]);
    assertEquals(await first.out(MODULE, expected), await outHere(expected), "a side alone is done here");

    gpu.device.destroy();
    assertEquals(await first.linear(MODULE, x), expected);
    assertEquals(await second.linear(MODULE, x), expected);
    assertEquals(await first.linear(MODULE, x), expected);
    assertEquals(lines.length, 1, lines.join("\n"));
    assertEquals(second.backendChoice(), { name: "wasm", reason: lines[0]! });
    assertEquals(devices.start(), null);

    async function outHere(y: Float32Array): Promise<Float32Array> {
      await using here = await applyProblem(built);
      return await here.out(MODULE, y);
    }
  },
);

Deno.test("webgpu: auto takes the CPU where the GPU is a software driver or is not there, and says why", async () => {
  const built = await buildProblem(PROBLEM);
  const adapters = [{ place: built.storage.place("adapter0") }];
  await using apply = await prepareApply(
    { base: built.storage.place("base"), adapters, backend: "auto" },
    built.storage,
  );
  const { name, reason } = apply.backendChoice();
  const x = drawActivations(PROBLEM, 3, 64);
  const y = await apply.linear(MODULE, x);
  assert(reason.length > 10, reason);
  if (name === "wasm") assertEquals(y, await linearOf(built, x));
  const gpu = await openGpu().catch(() => null);
  if (gpu === null || gpu.software) assertEquals(name, "wasm");
  if (gpu?.software) assertStringIncludes(reason, "software");
  gpu?.close();
});

Deno.test("webgpu: the CPU is what prepareApply takes unless it is told otherwise", async () => {
  const built = await buildProblem(PROBLEM);
  const adapters = [{ place: built.storage.place("adapter0") }];
  await using apply = await prepareApply({ base: built.storage.place("base"), adapters }, built.storage);
  assertEquals(apply.backendChoice().name, "wasm");
});

Deno.test("webgpu: without an adapter it is unsupported, and auto goes on", async () => {
  const { gpu } = navigator;
  const own = Object.getOwnPropertyDescriptor(navigator, "gpu");
  Object.defineProperty(navigator, "gpu", {
    configurable: true,
    value: { requestAdapter: () => Promise.resolve(null) },
  });
  try {
    const error = await assertRejects(() => chooseApplyDevices({ backend: "webgpu" }), EtherError);
    assertEquals(error.code, "unsupported");
    assertStringIncludes((await chooseApplyDevices({ backend: "auto" })).choice().reason, "no adapter");
    Object.defineProperty(navigator, "gpu", { configurable: true, value: undefined });
    assertEquals((await assertRejects(() => openGpu(), EtherError)).code, "unsupported");
  } finally {
    if (own === undefined) delete (navigator as { gpu?: unknown }).gpu;
    else Object.defineProperty(navigator, "gpu", own);
  }
  assertEquals(navigator.gpu, gpu);
});

Deno.test("webgpu: a trial decides by the size of the product", () => {
  // The GPU: 10 ms, and next to nothing for each token. The CPU: 2 ms for the matrix, and 1 for each token.
  const wins = winsFrom({ gpu: [10.1, 16.4], here: [3, 66] });
  assertEquals([wins(1, 2048, 2048), wins(5, 2048, 2048), wins(20, 2048, 2048)], [false, false, true]);
  assertEquals([wins(1, 8192, 8192), wins(20, 256, 256)], [true, false]);
  const never = winsFrom({ gpu: [10, 80], here: [3, 66] });
  assertEquals(never(1000, 2048, 2048), false);
});
