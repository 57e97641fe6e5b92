/** One shader at once, outside a batch: what prepares weights. */
import type { FloatDtype } from "../safetensors/dtype.ts";
import type { Gpu, ShaderName } from "./gpu.ts";

/** A dispatch that reads `memory`, and writes what it binds in the second set. */
export interface Dispatch {
  readonly shader: ShaderName;
  readonly dtype: FloatDtype;
  readonly memory: GPUBuffer;
  readonly extra: GPUBindGroup;
  readonly workgroups: number;
  numbers(grid: number): readonly number[];
}

/** Runs a dispatch. @returns true where it raised the flag */
export async function dispatch(gpu: Gpu, job: Dispatch): Promise<boolean> {
  const { STORAGE, COPY_DST, COPY_SRC, UNIFORM, MAP_READ } = GPUBufferUsage;
  const { device, limits } = gpu;
  const pipeline = await gpu.pipeline(job.shader, job.dtype);
  return await gpu.run(async () => {
    const results = gpu.buffer("no results", 16, STORAGE);
    const flags = gpu.buffer("flags", 16, STORAGE | COPY_DST | COPY_SRC);
    const numbers = gpu.buffer("one job's numbers", 256, UNIFORM | COPY_DST);
    const reading = gpu.buffer("flag", 16, MAP_READ | COPY_DST);
    const gridX = Math.min(job.workgroups, limits.workgroupCount);
    const gridY = Math.ceil(job.workgroups / gridX);
    device.queue.writeBuffer(flags, 0, new Uint32Array(4));
    device.queue.writeBuffer(numbers, 0, new Uint32Array(job.numbers(gridX)));
    const size = Math.min(job.memory.size, limits.bindingByteLength);
    const group = device.createBindGroup({
      layout: gpu.layout,
      entries: [
        { binding: 0, resource: { buffer: job.memory, size } },
        { binding: 1, resource: { buffer: results } },
        { binding: 2, resource: { buffer: flags } },
        { binding: 3, resource: { buffer: numbers, size: 256 } },
      ],
    });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group, [0]);
    pass.setBindGroup(1, job.extra);
    pass.dispatchWorkgroups(gridX, gridY);
    pass.end();
    encoder.copyBufferToBuffer(flags, 0, reading, 0, 16);
    device.queue.submit([encoder.finish()]);
    await reading.mapAsync(GPUMapMode.READ);
    const raised = new Uint32Array(reading.getMappedRange())[0] !== 0;
    reading.unmap();
    return raised;
  });
}
