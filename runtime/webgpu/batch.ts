/**
 * Jobs of one batch on a device: what they read is uploaded, they run in order, and what they wrote comes back.
 *
 * On the device the kernel's memory is mirrored from the lowest to the highest address of the batch. A shader sees all of
 * the mirror where a binding may be that large; else the part that the job's operands span; else copies of the operands,
 * put together in another buffer.
 */
import type { Address } from "../kernel/kernel.ts";
import type { DeviceJob } from "./device_job.ts";
import type { Gpu } from "./gpu.ts";
import { type Interval, Intervals } from "./intervals.ts";
import { ALIGNMENT, MemoryView, rangeOf, SLOT_BYTES, words } from "./memory_view.ts";

/**
 * Runs jobs.
 *
 * @param memory  the kernel's
 * @param wanted  what has to come back, if it was written. @default all that was
 * @returns false where the device could not do all of it exactly enough, or has no room: then the memory is untouched
 * @throws {EtherError} `io_error`
 */
export async function runBatch(
  gpu: Gpu,
  jobs: readonly DeviceJob[],
  memory: Uint8Array<ArrayBuffer>,
  wanted?: readonly Interval[],
): Promise<boolean> {
  const traffic = trafficOf(jobs);
  const { lowest, highest } = traffic;
  const passedOn = Math.max(0, ...jobs.map((job) => job.passedOn ?? 0));
  const sumCount = jobs.reduce((sum, { sums }) => sum + (sums?.count ?? 0), 0);
  const resultBytes = 4 * (passedOn + sumCount);
  const back = [...traffic.written].flatMap((range) =>
    wanted === undefined ? [range] : wanted.flatMap((one) => common(range, words(one)))
  );
  const backBytes = 16 + 4 * sumCount + back.reduce((sum, { start, end }) => sum + end - start, 0);
  const { bufferByteLength, bindingByteLength } = gpu.limits;
  if (Math.max(highest - lowest, backBytes, jobs.length * SLOT_BYTES) > bufferByteLength) return false;
  if (resultBytes > bindingByteLength) return false;

  return await gpu.run(async () => {
    const { device } = gpu;
    const pipelines = await Promise.all(jobs.map(({ shader, dtype }) => gpu.pipeline(shader, dtype)));
    const { STORAGE, COPY_DST, COPY_SRC, UNIFORM, MAP_READ } = GPUBufferUsage;
    const mirror = gpu.buffer("memory", highest - lowest, STORAGE | COPY_DST | COPY_SRC);
    const results = gpu.buffer("results", Math.max(16, resultBytes), STORAGE | COPY_SRC);
    const flags = gpu.buffer("flags", 16, STORAGE | COPY_DST | COPY_SRC);
    const numbers = gpu.buffer("numbers", jobs.length * SLOT_BYTES, UNIFORM | COPY_DST);
    const reading = gpu.buffer("reading", backBytes, MAP_READ | COPY_DST);
    for (const { start, end } of traffic.uploads) {
      device.queue.writeBuffer(mirror, start - lowest, memory, start, end - start);
    }
    device.queue.writeBuffer(flags, 0, new Uint32Array(4));

    const slots = new Uint32Array(jobs.length * SLOT_BYTES / 4);
    const encoder = device.createCommandEncoder();
    const view = new MemoryView(gpu, mirror, { start: lowest, end: highest }, { results, flags, numbers });
    let pass: GPUComputePassEncoder | null = null;
    let sumPlace = passedOn;
    for (const [index, job] of jobs.entries()) {
      const window = view.of(job);
      if (window === null) return false;
      const gridX = Math.min(job.workgroups, gpu.limits.workgroupCount);
      const gridY = Math.ceil(job.workgroups / gridX);
      if (gridY > gpu.limits.workgroupCount) return false;
      const place = job.sums === undefined ? 0 : sumPlace;
      sumPlace += job.sums?.count ?? 0;
      slots.set(job.numbers({ at: window.at, results: place, grid: gridX }), index * SLOT_BYTES / 4);
      if (window.copies.length > 0) {
        pass?.end();
        pass = null;
        for (const { from, to, byteLength } of window.copies) {
          encoder.copyBufferToBuffer(mirror, from, window.buffer, to, byteLength);
        }
      }
      pass ??= encoder.beginComputePass();
      pass.setPipeline(pipelines[index]!);
      pass.setBindGroup(0, window.group, [index * SLOT_BYTES]);
      if (job.extra !== undefined) pass.setBindGroup(1, job.extra);
      pass.dispatchWorkgroups(gridX, gridY);
      if (window.copies.some(({ written }) => written)) {
        pass.end();
        pass = null;
        for (const { from, to, byteLength, written } of window.copies) {
          if (written) encoder.copyBufferToBuffer(window.buffer, to, mirror, from, byteLength);
        }
      }
    }
    pass?.end();
    device.queue.writeBuffer(numbers, 0, slots);
    encoder.copyBufferToBuffer(flags, 0, reading, 0, 16);
    if (sumCount > 0) encoder.copyBufferToBuffer(results, 4 * passedOn, reading, 16, 4 * sumCount);
    let place = 16 + 4 * sumCount;
    for (const { start, end } of back) {
      encoder.copyBufferToBuffer(mirror, start - lowest, reading, place, end - start);
      place += end - start;
    }
    device.queue.submit([encoder.finish()]);
    await reading.mapAsync(GPUMapMode.READ, 0, backBytes);
    try {
      const bytes = new Uint8Array(reading.getMappedRange(0, backBytes));
      if (new Uint32Array(bytes.slice(0, 4).buffer)[0] !== 0) return false;
      place = 16 + 4 * sumCount;
      for (const { start, end } of back) {
        memory.set(bytes.subarray(place, place + end - start), start);
        place += end - start;
      }
      let sumStart = 16;
      for (const { sums } of jobs) {
        if (sums === undefined) continue;
        sums.done(new Float32Array(bytes.slice(sumStart, sumStart + 4 * sums.count).buffer));
        sumStart += 4 * sums.count;
      }
      return true;
    } finally {
      reading.unmap();
    }
  });
}

interface Traffic {
  readonly uploads: Intervals;
  readonly written: Intervals;
  readonly lowest: Address;
  readonly highest: Address;
}

/** What has to go to the device, and what jobs leave there. What a job wrote, a later one need not be given. */
function trafficOf(jobs: readonly DeviceJob[]): Traffic {
  const uploads = new Intervals();
  const written = new Intervals();
  let lowest = Infinity;
  let highest = 0;
  for (const { operands } of jobs) {
    for (const operand of operands) {
      const range = rangeOf(operand);
      lowest = Math.min(lowest, range.start);
      highest = Math.max(highest, range.end);
      if (operand.access !== "write") { for (const part of written.missing(range)) uploads.add(part); }
    }
    for (const operand of operands) {
      if (operand.access !== "read") written.add(rangeOf(operand));
    }
  }
  lowest = Math.floor(lowest / ALIGNMENT) * ALIGNMENT;
  return { uploads, written, lowest, highest };
}

/** What is in both. */
function common(a: Interval, b: Interval): Interval[] {
  const both = { start: Math.max(a.start, b.start), end: Math.min(a.end, b.end) };
  return both.start < both.end ? [both] : [];
}
