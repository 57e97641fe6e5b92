/** Who computes `linear` for a server: decided in time, told once, and never with a base's old bytes. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { ApplyDeviceOptions, BackendChoice, StartableDevices } from "../../../runtime/apply/apply_device.ts";
import { openServer } from "../../../runtime/deno/server.ts";
import { EtherError } from "../../../runtime/error.ts";
import { parseRecipe } from "../../../runtime/recipes/recipe.ts";
import { LinearDevices } from "../../../runtime/repositories/linear_devices.ts";
import { type ApplyUse, Repositories } from "../../../runtime/repositories/repositories.ts";
import { parseHeader } from "../../../runtime/safetensors/header.ts";
import { GpuDevices } from "../../../runtime/webgpu/apply_device.ts";
import { newPath } from "../../commands/made_files.ts";
import { gpuTest } from "../webgpu/adapter.ts";
import { type Files, llamaFiles, llamaStores } from "./memory_stores.ts";

const MODULE = "model.layers.0.mlp.down_proj";
const WEIGHT = `${MODULE}.weight`;
const ADAPTER = parseRecipe("poet");

/** Longer than the devices wait before they look. */
const later = () => new Promise((resolve) => setTimeout(resolve, 300));

/** A GPU that is none: only who chooses it is tested. */
function pretended(name: BackendChoice["name"] = "webgpu") {
  const seen = { looks: 0, closes: 0 };
  const find = (): Promise<StartableDevices> => {
    seen.looks++;
    const choice = { name, reason: "a trial" };
    return Promise.resolve({
      ...{ choice: () => choice, productCount: () => 0, start: () => null, forget() {} },
      close: () => void seen.closes++,
    });
  };
  return { seen, find };
}

Deno.test("LinearDevices: auto looks for a GPU after the first linear, once, and says what came of it once", async () => {
  const { seen, find } = pretended();
  const told: BackendChoice[] = [];
  const devices = await LinearDevices.open({ backend: "auto", find, onChoice: (choice) => told.push(choice) });
  await later();
  assertEquals([seen.looks, told.length, devices.devices], [0, 0, null]);
  assertEquals(devices.choice().name, "wasm");
  assertStringIncludes(devices.choice().reason, "undecided");
  devices.onLinear();
  assertEquals(seen.looks, 0, "not before the answer is out");
  devices.onLinear();
  await later();
  devices.onLinear();
  await later();
  assertEquals([seen.looks, told], [1, [{ name: "webgpu", reason: "a trial" }]]);
  assertEquals(devices.choice(), told[0]!);
  assert(devices.devices !== null);
  await devices.close();
  assertEquals(seen.closes, 1);
});

Deno.test("LinearDevices: a GPU that loses is not used, and its reason is kept", async () => {
  const { find } = pretended("wasm");
  const devices = await LinearDevices.open({ backend: "auto", find });
  devices.onLinear();
  await later();
  assertEquals([devices.choice(), devices.devices], [{ name: "wasm", reason: "a trial" }, null]);
  await devices.close();
});

Deno.test("LinearDevices: whatever goes wrong while it looks, the CPU goes on and says why", async () => {
  const find = () => Promise.reject(new TypeError("the driver is odd"));
  const devices = await LinearDevices.open({ backend: "auto", find });
  devices.onLinear();
  await later();
  assertEquals(devices.choice(), { name: "wasm", reason: "WebGPU failed: TypeError: the driver is odd" });
  await devices.close();
});

Deno.test("LinearDevices: closed before it looks it never does; closed while it looks it closes what it finds", async () => {
  const { seen, find } = pretended();
  const early = await LinearDevices.open({ backend: "auto", find });
  early.onLinear();
  await early.close();
  early.onLinear();
  await later();
  assertEquals(seen.looks, 0);

  const told: BackendChoice[] = [];
  const found = Promise.withResolvers<void>();
  const slow = (_: ApplyDeviceOptions) => found.promise.then(find);
  const late = await LinearDevices.open({ backend: "auto", find: slow, onChoice: (choice) => told.push(choice) });
  late.onLinear();
  await later();
  const closing = late.close();
  found.resolve();
  await closing;
  assertEquals([seen, told, late.devices], [{ looks: 1, closes: 1 }, [], null]);
});

Deno.test("LinearDevices: wasm, and auto on a host without WebGPU, are decided at once and look for nothing", async () => {
  const { seen, find } = pretended();
  const own = Object.getOwnPropertyDescriptor(navigator, "gpu");
  Object.defineProperty(navigator, "gpu", { configurable: true, value: undefined });
  try {
    for (const [backend, reason] of [["wasm", "it was asked for"], ["auto", "this runtime has no WebGPU"]] as const) {
      const told: BackendChoice[] = [];
      const devices = await LinearDevices.open({ backend, find, onChoice: (choice) => told.push(choice) });
      devices.onLinear();
      assertEquals(told, [{ name: "wasm", reason }]);
      await devices.close();
    }
  } finally {
    if (own === undefined) delete (navigator as { gpu?: unknown }).gpu;
    else Object.defineProperty(navigator, "gpu", own);
  }
  assertEquals(seen.looks, 0);
});

Deno.test("LinearDevices: webgpu is there when it is open, or unsupported", async () => {
  const { seen, find } = pretended();
  const devices = await LinearDevices.open({ backend: "webgpu", find });
  assertEquals([seen.looks, devices.choice().name], [1, "webgpu"]);
  await devices.close();
  const none = () => Promise.reject(new EtherError("unsupported", "WebGPU finds no adapter"));
  const error = await assertRejects(() => LinearDevices.open({ backend: "webgpu", find: none }), EtherError);
  assertEquals(error.code, "unsupported");
});

Deno.test("repositories without devices compute on the CPU, and say so", async () => {
  const { models, adapters } = llamaStores();
  const repositories = new Repositories({ models, adapters, storage: models.storage });
  assertEquals(repositories.linearChoice.name, "wasm");
  await repositories.close();
});

/** The repositories of the fixtures on a device, how they apply, and how many products the device did. */
async function onDevice(gpu: ConstructorParameters<typeof GpuDevices>[0], residentByteLength?: number) {
  const { models, adapters } = llamaStores();
  const made = new GpuDevices(gpu, "a trial", () => true, { backend: "auto", residentByteLength });
  const devices = await LinearDevices.open({ backend: "auto", find: () => Promise.resolve(made) });
  const repositories = new Repositories({ models, adapters, storage: models.storage, devices });
  await repositories.start();
  const linear = async (x: Float32Array, use: ApplyUse = "linear") => {
    const lease = (await repositories.apply((await repositories.base("llama"))!, ADAPTER, undefined, use))!;
    try {
      return await lease.value[use === "linear" ? "linear" : "in"](MODULE, x);
    } finally {
      lease.release();
    }
  };
  return { models, adapters, repositories, linear, products: () => made.productCount() };
}

function tokens(count: number): Float32Array<ArrayBuffer> {
  const { shape } = weightOf(llamaFiles("base")).info;
  return Float32Array.from({ length: count * shape[1]! }, (_, i) => (i * 37 % 29 - 14) / 16);
}

/** The file that holds the module's weight, and where. */
function weightOf(files: Files) {
  for (const [path, bytes] of files) {
    if (!path.endsWith(".safetensors")) continue;
    const info = parseHeader(bytes, bytes.byteLength, path).tensors.find(({ name }) => name === WEIGHT);
    if (info !== undefined) return { path, bytes, info };
  }
  throw new Error(`no ${WEIGHT}`);
}

/** The file with every number of the weight twice as large: one more in the exponents of bf16 or f32. */
function doubled(files: Files): { path: string; bytes: Uint8Array<ArrayBuffer> } {
  const { path, bytes, info } = weightOf(files);
  const copy = bytes.slice();
  const view = new DataView(copy.buffer, info.offset, info.byteLength);
  const step = info.dtype === "F32" ? 4 : 2;
  assert(info.dtype === "F32" || info.dtype === "BF16", info.dtype);
  for (let at = 0; at < info.byteLength; at += step) {
    const high = view.getUint16(at + step - 2, true);
    if ((high & 0x7f80) !== 0) view.setUint16(at + step - 2, high + 0x80, true);
  }
  return { path, bytes: copy };
}

/** How far two results are apart, as a part of the first one's size. */
function distance(a: Float32Array, b: Float32Array): number {
  let [difference, size] = [0, 0];
  a.forEach((value, i) => {
    difference = Math.max(difference, Math.abs(value - b[i]!));
    size = Math.max(size, Math.abs(value));
  });
  return difference / size;
}

gpuTest(
  "a server's first linear is the CPU's, the next ones the device's, and a side alone stays here",
  async (gpu) => {
    const { repositories, linear, products } = await onDevice(gpu);
    const x = tokens(3);
    const side = await linear(x, "sides");
    await later();
    assertStringIncludes(repositories.linearChoice.reason, "undecided", "a side alone makes nobody look");
    const expected = await linear(x);
    assertEquals(products(), 0);
    await later();
    assertEquals(repositories.linearChoice, { name: "webgpu", reason: "a trial" });
    assert(distance(expected, await linear(x)) < 1e-4);
    assertEquals(products(), 1);
    assertEquals(await linear(x, "sides"), side);
    assertEquals(products(), 1);
    await repositories.close();
    assertEquals((await gpu.device.lost).reason, "destroyed");
  },
);

gpuTest("a base that changes is not served from the old one's matrices, which make room for its own", async (gpu) => {
  const x = tokens(3);
  const { info: { byteLength } } = weightOf(llamaFiles("base"));
  // Room for one version of the matrix.
  const { repositories, models, linear, products } = await onDevice(gpu, byteLength + 100);
  const expected = await linear(x);
  await later();
  for (const [count, scale] of [1, 2, 4, 8].entries()) {
    assert(distance(expected.map((value) => value * scale), await linear(x)) < 1e-4, `scale ${scale}`);
    assertEquals(products(), count + 1, `scale ${scale}: on the device`);
    const { path, bytes } = doubled(models.models.get("llama")!);
    models.models.get("llama")!.set(path, bytes);
    models.touch("llama");
    // Busy while its identity is computed.
    await repositories.start();
  }
  await repositories.close();
});

gpuTest("adapters that are lent while their base changes on disk refuse to multiply by old matrices", async () => {
  const models = newPath("models");
  const adapters = newPath("adapters");
  for (const [folder, to] of [["base", `${models}/llama`], ["etherplus", `${adapters}/poet`]] as const) {
    await Deno.mkdir(to, { recursive: true });
    for (const [path, bytes] of llamaFiles(folder)) await Deno.writeFile(`${to}/${path}`, bytes);
  }
  const { repositories, start } = await openServer({ models, adapters, backend: "webgpu" });
  await start();
  assertStringIncludes(repositories.linearChoice.reason, "it was asked for");
  const base = (await repositories.base("llama"))!;
  const lease = (await repositories.apply(base, ADAPTER))!;
  const sides = (await repositories.apply(base, ADAPTER, undefined, "sides"))!;
  assertEquals([lease, sides].map(({ value }) => value.backendChoice().name), ["webgpu", "wasm"]);
  sides.release();
  const x = tokens(2);
  const expected = await lease.value.linear(MODULE, x);
  assertEquals(await lease.value.linear(MODULE, x), expected);

  const { path, bytes } = doubled(llamaFiles("base"));
  await Deno.writeFile(`${models}/beside`, bytes);
  await Deno.rename(`${models}/beside`, `${models}/llama/${path}`);
  const error = await assertRejects(() => lease.value.linear(MODULE, x), EtherError, "changed");
  assertEquals(error.code, "io_error");
  lease.release();
  await repositories.close();
});
