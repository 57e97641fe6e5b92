/**
 * y = H̃(W(Hx)) with W on the device: activations go up, results come back, and everything between stays there.
 *
 * The same plan as `linear.ts` has: rows of W go by in segments, each multiplied by all the inputs that are for it. Each
 * segment is one product for the tokens of all adapters, so that W is read once however many adapters there are.
 */
import { type FrameState, PASS_BYTES, passesOf, type PassGroup, passProducts, placeFrame } from "../apply/linear.ts";
import type { LinearJob, PassProduct } from "../apply/linear.ts";
import { transformFeatures } from "../apply/features.ts";
import { placeOf } from "../apply/runs.ts";
import { segmentsOf } from "../apply/segments.ts";
import { type ApplyShop, type Scratch, takeScratch } from "../apply/shop.ts";
import type { Address } from "../kernel/kernel.ts";
import type { Gpu } from "./gpu.ts";
import type { Interval } from "./intervals.ts";
import type { WebGpuKernel } from "./kernel.ts";
import { inputByteLength, inputJob, productJobs } from "./products.ts";
import type { ResidentWeight } from "./resident_weights.ts";

/**
 * Fills `job.y`.
 *
 * @param shop  its kernel is `kernel`
 * @returns false where the device cannot do it, or not exactly enough: then `job.y` may hold anything
 * @throws {EtherError} `io_error`, `unsupported`; the signal's reason
 */
export async function multiplyResident(
  job: LinearJob,
  weight: ResidentWeight,
  shop: ApplyShop,
  kernel: WebGpuKernel,
): Promise<boolean> {
  const { gpu } = kernel;
  if (gpu === null) return false;
  const { bufferByteLength, bindingByteLength } = gpu.limits;
  const most = Math.floor(Math.min(bufferByteLength, bindingByteLength) / 4);
  const passByteLength = Math.min(job.passByteLength ?? PASS_BYTES, most);
  for (const groups of passesOf({ ...job, passByteLength })) {
    job.signal?.throwIfAborted();
    const mark = shop.arena.mark();
    const pass = new ResidentPass(job, weight, shop, kernel, gpu, groups);
    try {
      if (!await pass.run()) return false;
    } finally {
      kernel.discard();
      pass.close();
      shop.arena.release(mark);
    }
  }
  return true;
}

class ResidentPass {
  readonly #job: LinearJob;
  readonly #weight: ResidentWeight;
  readonly #shop: ApplyShop;
  readonly #kernel: WebGpuKernel;
  readonly #gpu: Gpu;
  readonly #groups: readonly PassGroup[];
  readonly #states: readonly FrameState[];
  readonly #scratch: Scratch;
  /** f32 `[tokens, in]` of each group. */
  readonly #tokens: ReadonlyMap<PassGroup, Address>;
  /** f32 `[columns, in]`: the inputs of one segment. */
  readonly #columns: Address;
  readonly #inputs: GPUBuffer | null;
  readonly #segments: readonly { start: number; end: number; active: readonly PassProduct[]; count: number }[];
  /** All frames. */
  readonly #frames: Interval;
  #placed: readonly string[] = [];

  constructor(
    job: LinearJob,
    weight: ResidentWeight,
    shop: ApplyShop,
    kernel: WebGpuKernel,
    gpu: Gpu,
    groups: readonly PassGroup[],
  ) {
    const { arena } = shop;
    const { inCount, outCount } = weight;
    this.#job = job;
    this.#weight = weight;
    this.#shop = shop;
    this.#kernel = kernel;
    this.#gpu = gpu;
    this.#groups = groups;
    const framesStart = arena.mark();
    this.#states = groups.map((group) => placeFrame(group.frame, group.tokens.length, arena));
    this.#frames = { start: framesStart, end: arena.mark() };
    this.#tokens = new Map(groups.map((group) => [group, arena.take(group.tokens.length * inCount * 4)]));
    this.#segments = [...segmentsOf(passProducts(groups, this.#states))].map(({ start, end, active }) => {
      return { start, end, active, count: active.reduce((sum, { group }) => sum + group.tokens.length, 0) };
    });
    const widest = Math.max(0, ...this.#segments.map(({ count }) => count));
    this.#columns = arena.take(widest * inCount * 4);
    this.#scratch = takeScratch(shop, Math.max(inCount, outCount));
    const size = inputByteLength(weight, widest);
    const fits = size <= Math.min(gpu.limits.bindingByteLength, gpu.limits.bufferByteLength);
    this.#inputs = fits ? gpu.device.createBuffer({ size, usage: GPUBufferUsage.STORAGE }) : null;
  }

  async run(): Promise<boolean> {
    if (this.#inputs === null) return false;
    this.#loadTokens();
    for (const { start, end, active } of this.#segments) {
      this.#placeInputs(active);
      this.#multiply(start, end, active);
    }
    for (const [i, group] of this.#groups.entries()) this.#finish(group, this.#states[i]!);
    const wanted = this.#groups.map((group, i) => {
      const { address, frame } = this.#states[i]!;
      return { start: address, end: address + 4 * frame.rowCount * group.tokens.length };
    });
    if (!await this.#kernel.tryDevice(wanted)) return false;
    this.#collect();
    return true;
  }

  close(): void {
    this.#inputs?.destroy();
  }

  #loadTokens(): void {
    const { x, weight: { inCount } } = this.#job;
    const memory = new Float32Array(this.#kernel.bytes.buffer);
    for (const [{ tokens }, address] of this.#tokens) {
      for (const [t, token] of tokens.entries()) {
        memory.set(x.subarray(token * inCount, (token + 1) * inCount), address / 4 + t * inCount);
      }
    }
  }

  /** Hx of a segment's products, one after the other, unless they stand there from the segment before. */
  #placeInputs(active: readonly PassProduct[]): void {
    const { inCount } = this.#weight;
    const groupIndex = new Map(this.#groups.map((group, i) => [group, i]));
    const keys = active.map(({ group, product }) => `${groupIndex.get(group)}/${product.key}`);
    if (keys.length === this.#placed.length && keys.every((key, i) => key === this.#placed[i])) return;
    this.#placed = keys;
    let address = this.#columns;
    for (const { group, product } of active) {
      const rowCount = group.tokens.length;
      const row = inCount * 4;
      const source = this.#tokens.get(group)!;
      this.#kernel.copyRows({
        ...{ source, sourceStride: row, target: address, targetStride: row, rowCount, byteLength: row },
      });
      for (const { op, feature } of product.steps) {
        const rows = { dtype: "F32" as const, address, rowStride: row, rowCount, firstRow: feature, same: true };
        this.#shop.ops.get(op).transform(rows, null);
      }
      address += rowCount * row;
    }
    const columns = { address: this.#columns, count: (address - this.#columns) / (inCount * 4) };
    this.#kernel.noteDevice([inputJob(this.#gpu, this.#weight, columns, this.#inputs!)]);
  }

  /** Rows `[from, to)` of W times the inputs that are in place. */
  #multiply(from: number, to: number, active: readonly PassProduct[]): void {
    const places = active.flatMap(({ state, group }) => {
      const first = (state.address - this.#frames.start) / 4 + placeOf(state.frame.rows, from);
      return group.tokens.map((_, t) => first + t * state.frame.rowCount);
    });
    const table = this.#shop.arena.take(places.length * 4);
    new Uint32Array(this.#kernel.bytes.buffer, table, places.length).set(places);
    const rows = { from, to };
    const target = { table, columnCount: places.length, frames: this.#frames };
    this.#kernel.noteDevice(productJobs(this.#gpu, this.#weight, rows, this.#inputs!, target));
  }

  /** Takes over what other frames bring, then applies the output sides. */
  #finish(group: PassGroup, { frame, address, children }: FrameState): void {
    const tokenCount = group.tokens.length;
    for (const [i, { rows }] of frame.children.entries()) {
      const child = children[i]!;
      this.#finish(group, child);
      for (const { start, count } of rows) {
        this.#kernel.copyRows({
          ...{ source: child.address + 4 * placeOf(child.frame.rows, start), sourceStride: 4 * child.frame.rowCount },
          ...{ target: address + 4 * placeOf(frame.rows, start), targetStride: 4 * frame.rowCount },
          ...{ rowCount: tokenCount, byteLength: 4 * count },
        });
      }
    }
    const place = { address, rows: frame.rows, rowCount: frame.rowCount, tokenCount };
    for (const part of frame.outputs) transformFeatures(part, place, this.#shop.ops.get(part.output!), this.#scratch);
  }

  #collect(): void {
    const { y, weight: { outCount } } = this.#job;
    const memory = new Float32Array(this.#kernel.bytes.buffer);
    for (const [i, { tokens }] of this.#groups.entries()) {
      const start = this.#states[i]!.address / 4;
      for (const [t, token] of tokens.entries()) {
        y.set(memory.subarray(start + t * outCount, start + (t + 1) * outCount), token * outCount);
      }
    }
  }
}
