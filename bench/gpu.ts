/**
 * How fast applied adapters are on this machine's GPU, against what bounds it and against the WASM kernel.
 *
 *     deno task bench:gpu [size]        rows and columns of the matrix, 4096 by default
 *
 * - Reading resident weights: one token times a matrix, many times in one batch, with the time of an empty batch taken
 *   away. Against the device's memory: a copy on the device, of which each byte is read and written.
 * - `linear` from call to result: tokens a second, with one adapter for all rows and with another one for each.
 *
 * Deno 2.9 waits 10 ms for every result of a device: no call takes less there.
 */
import type { ApplyDevices } from "../runtime/apply/apply_device.ts";
import { prepareApply } from "../runtime/apply/prepare_apply.ts";
import { MemorySource } from "../runtime/io/source.ts";
import { loadKernel } from "../runtime/kernel/load.ts";
import { Arena } from "../runtime/methods/arena.ts";
import { FLOAT_DTYPES, type FloatDtype } from "../runtime/safetensors/dtype.ts";
import { chooseApplyDevices } from "../runtime/webgpu/apply_device.ts";
import { type Gpu, openGpu } from "../runtime/webgpu/gpu.ts";
import { WebGpuKernel } from "../runtime/webgpu/kernel.ts";
import { inputByteLength, inputJob, productJobs } from "../runtime/webgpu/products.ts";
import { ResidentWeights } from "../runtime/webgpu/resident_weights.ts";
import { drawActivations, MODULE } from "../tests/runtime/apply/activations.ts";
import { buildProblem, type BuiltProblem, type ProblemAdapter } from "../tests/runtime/execute/problem.ts";
import { median, printTable } from "./kernel.ts";

const ROUNDS = 7;
/** A batch should take far longer than the way there and back. */
const BATCH_SECONDS = 0.2;
/** Bytes that are copied at once on the device, if a buffer may be that large. */
const COPY_BYTES = 256 << 20;
const ADAPTER: ProblemAdapter = { variant: "ether", sides: ["in"], layout: "paper", numBlocks: 32 };

/** Runs it and prints the tables. */
export async function benchGpu(args: readonly string[]): Promise<void> {
  const size = Number(args[0] ?? 4096);
  const gpu = await openGpu();
  console.log(`${gpu.name}${gpu.software ? " (software)" : ""}; matrices of ${size} × ${size}`);
  const copy = await copyBandwidth(gpu);
  console.log(`a copy on the device: ${gigabytes(copy)} GB/s, read and written\n`);
  const rows = [["resident weights, one token", "GB/s", "of the device's memory"]];
  for (const dtype of FLOAT_DTYPES) {
    const rate = await readBandwidth(gpu, dtype, size);
    rows.push([dtype, gigabytes(rate), (rate / copy).toFixed(2)]);
  }
  printTable(rows);
  gpu.close();

  console.log();
  const built = await buildProblem({
    ...{ seed: 7, dtype: "BF16", outer: size, inner: size, adapters: new Array<ProblemAdapter>(256).fill(ADAPTER) },
  });
  const devices = await chooseApplyDevices({ backend: "webgpu" });
  const table = [["linear, BF16, tokens a second", "one adapter", "another for each row", "WASM, one adapter"]];
  for (const tokenCount of [1, 16, 256]) {
    const same = new Array<number>(tokenCount).fill(0);
    const each = same.map((_, token) => token);
    const perSecond = async (rows: readonly number[], devices?: ApplyDevices) => {
      return (tokenCount / await callSeconds(built, size, rows, devices)).toFixed(0);
    };
    const cells = [await perSecond(same, devices), await perSecond(each, devices), await perSecond(same)];
    table.push([`${tokenCount} rows`, ...cells]);
  }
  printTable(table);
  devices.close();
}

/** Bytes a second that a copy reads and writes. */
async function copyBandwidth(gpu: Gpu): Promise<number> {
  const size = Math.min(COPY_BYTES, gpu.limits.bufferByteLength);
  const { COPY_SRC, COPY_DST } = GPUBufferUsage;
  const [from, to] = [COPY_SRC, COPY_DST].map((usage) => gpu.device.createBuffer({ size, usage }));
  const run = (count: number) =>
    gpu.run(async () => {
      const encoder = gpu.device.createCommandEncoder();
      for (let i = 0; i < count; i++) encoder.copyBufferToBuffer(from!, 0, to!, 0, size);
      gpu.device.queue.submit([encoder.finish()]);
      await gpu.device.queue.onSubmittedWorkDone();
    });
  const seconds = await secondsOfOne(run);
  from!.destroy();
  to!.destroy();
  return 2 * size / seconds;
}

/** Bytes a second of a matrix that one token is multiplied with. */
async function readBandwidth(gpu: Gpu, dtype: FloatDtype, size: number): Promise<number> {
  const kernel = new WebGpuKernel(gpu, loadKernel());
  const arena = new Arena(kernel);
  const weights = new ResidentWeights(gpu, Infinity);
  const bytes = new Uint8Array(size * size * (dtype === "F32" ? 4 : 2));
  const openSource = () => new MemorySource("bench", bytes);
  const weight = (await weights.get({ openSource, locator: "bench", offset: 0 }, {
    ...{ source: openSource(), offset: 0, dtype, inCount: size, outCount: size, storedInOut: false },
  }))!;
  const inputs = gpu.device.createBuffer({ size: inputByteLength(weight, 1), usage: GPUBufferUsage.STORAGE });
  const [x, table, y] = [arena.take(4 * size), arena.take(4), arena.take(4 * size)];
  const frames = { start: y, end: y + 4 * size };
  const seconds = await secondsOfOne(async (count) => {
    kernel.noteDevice([inputJob(gpu, weight, { address: x, count: 1 }, inputs)]);
    const jobs = productJobs(gpu, weight, { from: 0, to: size }, inputs, { table, columnCount: 1, frames });
    for (let i = 0; i < count; i++) kernel.noteDevice(jobs);
    if (!await kernel.tryDevice([])) throw new Error("the device did not do it");
  });
  inputs.destroy();
  weights.close();
  return bytes.byteLength / seconds;
}

/** Seconds of one repetition in a batch of so many that all take some time, less an empty batch's. */
async function secondsOfOne(run: (count: number) => Promise<void>): Promise<number> {
  const time = async (count: number) => {
    const start = performance.now();
    await run(count);
    return (performance.now() - start) / 1000;
  };
  const rounds = async (count: number) => {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) times.push(await time(count));
    return median(times);
  };
  await time(1);
  const empty = await rounds(0);
  let count = 1;
  while (count < 4096 && await time(count) < empty + BATCH_SECONDS) count *= 2;
  return (await rounds(count) - empty) / count;
}

/** Seconds of one call. */
async function callSeconds(
  { problem, storage }: BuiltProblem,
  size: number,
  rows: readonly number[],
  backend?: ApplyDevices,
): Promise<number> {
  const adapters = problem.adapters.map((_, index) => ({ place: storage.place(`adapter${index}`) }));
  await using apply = await prepareApply({ base: storage.place("base"), adapters, backend }, storage);
  const x = drawActivations(problem, rows.length, size);
  await apply.linear(MODULE, x, { rows });
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    await apply.linear(MODULE, x, { rows });
    times.push((performance.now() - start) / 1000);
  }
  return median(times);
}

function gigabytes(perSecond: number): string {
  return (perSecond / 1e9).toFixed(perSecond < 1e10 ? 2 : 0);
}

if (import.meta.main) await benchGpu(Deno.args);
