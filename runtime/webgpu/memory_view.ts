/** What of a batch's mirror each job binds: all of it, what its operands span, or copies of them. */
import type { DeviceJob, Operand } from "./device_job.ts";
import type { Gpu } from "./gpu.ts";
import type { Interval } from "./intervals.ts";

/** Bytes for a job's numbers: the coarsest alignment that a device may ask for. */
export const SLOT_BYTES = 256;
/** Buffers' offsets in bindings and the addresses that stand for them begin at multiples of this. */
export const ALIGNMENT = 256;

/** An operand's memory, in whole words. */
export function rangeOf({ address, byteLength }: Operand): Interval {
  return words({ start: address, end: address + byteLength });
}

/** Whole words. */
export function words({ start, end }: Interval): Interval {
  return { start: Math.floor(start / 4) * 4, end: Math.ceil(end / 4) * 4 };
}

/** How a job sees the mirror. */
export interface Window {
  readonly group: GPUBindGroup;
  readonly buffer: GPUBuffer;
  at(operand: number): number;
  /** Between the mirror and a buffer of the operands alone, in both directions. */
  readonly copies: readonly {
    readonly from: number;
    readonly to: number;
    readonly byteLength: number;
    readonly written: boolean;
  }[];
}

/** The buffers that every job of a batch binds. */
export interface SharedBuffers {
  readonly results: GPUBuffer;
  readonly flags: GPUBuffer;
  readonly numbers: GPUBuffer;
}

/** The mirror, as jobs bind it. */
export class MemoryView {
  readonly #gpu: Gpu;
  readonly #mirror: GPUBuffer;
  readonly #span: Interval;
  readonly #shared: SharedBuffers;
  readonly #groups = new Map<string, GPUBindGroup>();

  constructor(gpu: Gpu, mirror: GPUBuffer, span: Interval, shared: SharedBuffers) {
    this.#gpu = gpu;
    this.#mirror = mirror;
    this.#span = span;
    this.#shared = shared;
  }

  /** null where the operands do not fit a binding. */
  of({ operands }: DeviceJob): Window | null {
    const { start, end } = this.#span;
    const most = this.#gpu.limits.bindingByteLength;
    const ranges = operands.map(rangeOf);
    const lowest = Math.floor(Math.min(...ranges.map((range) => range.start)) / ALIGNMENT) * ALIGNMENT;
    const highest = Math.max(...ranges.map((range) => range.end));
    const whole = end - start <= most;
    const [first, last] = whole ? [start, end] : [lowest, highest];
    if (last - first <= most) {
      const group = this.#group(this.#mirror, first - start, last - first);
      return { group, buffer: this.#mirror, at: (i) => operands[i]!.address - first, copies: [] };
    }
    let room = 0;
    const places = ranges.map((range) => {
      const place = room;
      room += Math.ceil((range.end - range.start) / ALIGNMENT) * ALIGNMENT;
      return place;
    });
    if (room > most) return null;
    const { STORAGE, COPY_DST, COPY_SRC } = GPUBufferUsage;
    const buffer = this.#gpu.buffer("operands", most, STORAGE | COPY_DST | COPY_SRC);
    const copies = ranges.map((range, i) => {
      const written = operands[i]!.access !== "read";
      return { from: range.start - start, to: places[i]!, byteLength: range.end - range.start, written };
    });
    const at = (i: number) => places[i]! + operands[i]!.address - ranges[i]!.start;
    return { group: this.#group(buffer, 0, most), buffer, at, copies };
  }

  #group(buffer: GPUBuffer, offset: number, size: number): GPUBindGroup {
    const key = `${buffer === this.#mirror} ${offset} ${size}`;
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const { results, flags, numbers } = this.#shared;
    const group = this.#gpu.device.createBindGroup({
      layout: this.#gpu.layout,
      entries: [
        { binding: 0, resource: { buffer, offset, size } },
        { binding: 1, resource: { buffer: results, size: Math.min(results.size, this.#gpu.limits.bindingByteLength) } },
        { binding: 2, resource: { buffer: flags } },
        { binding: 3, resource: { buffer: numbers, size: SLOT_BYTES } },
      ],
    });
    this.#groups.set(key, group);
    return group;
  }
}
