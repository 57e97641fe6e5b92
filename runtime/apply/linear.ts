/**
 * y = H̃(W(Hx)) for tokens of many adapters at once: W goes by once, tile by tile, and is never merged.
 *
 * A tile of W, f32 `[rows, in]`, multiplies the tokens' inputs, kept as columns `[in, columns]`: the chains of the
 * kernel's product run along a row of W, so that y[t, o] depends on W's row o and on token t and its adapters, and on
 * nothing else.
 */
import type { Address } from "../kernel/kernel.ts";
import type { Arena } from "../methods/arena.ts";
import { EventTurns } from "./event_turns.ts";
import { transformFeatures } from "./features.ts";
import { type AdapterParts, type Frame, planFrames, type Product } from "./frames.ts";
import { placeOf } from "./runs.ts";
import { productsOf, rowsOf, segmentsOf, widestOf } from "./segments.ts";
import { type ApplyShop, type Scratch, takeScratch } from "./shop.ts";
import type { TokenGroup } from "./tokens.ts";
import { type StoredWeight, WeightRows } from "./weight_rows.ts";

/** Inputs and outputs of one pass over W; more tokens than fit take another pass. */
export const PASS_BYTES: number = 256 << 20;

/** What decides the passes. */
export interface LinearPassJob {
  readonly weight: Pick<StoredWeight, "inCount" | "outCount">;
  /** For each adapter of the call. */
  readonly adapters: readonly AdapterParts[];
  readonly groups: readonly TokenGroup[];
  /** @default {@link PASS_BYTES} */
  readonly passByteLength?: number | undefined;
}

/** A layer, the adapters' parts on it, and the activations. */
export interface LinearJob extends LinearPassJob {
  readonly weight: StoredWeight;
  /** f32 `[tokens, in]`. */
  readonly x: Float32Array;
  /** f32 `[tokens, out]`; filled. */
  readonly y: Float32Array;
  readonly signal?: AbortSignal | undefined;
}

/** Fills `job.y`. @throws {EtherError} `unsupported`, see `planFrames`; the signal's reason */
export async function multiplyLinear(job: LinearJob, shop: ApplyShop): Promise<void> {
  for (const pass of passesOf(job)) {
    const mark = shop.arena.mark();
    try {
      await new LinearPass(job, shop, pass).run();
    } finally {
      shop.arena.release(mark);
    }
  }
}

/** Tokens of one chain of adapters, in one pass. */
export interface PassGroup {
  readonly frame: Frame;
  readonly tokens: readonly number[];
  /** The most inputs that one row of W has of this chain. */
  readonly widest: number;
}

/** Groups of tokens whose inputs and outputs fit a pass; a group that does not is cut. */
export function* passesOf(
  { weight, adapters, groups, passByteLength = PASS_BYTES }: LinearPassJob,
): Generator<PassGroup[]> {
  const { inCount, outCount } = weight;
  let pass: PassGroup[] = [];
  let left = passByteLength;
  for (const group of groups) {
    const chain = group.adapters.map((index) => adapters[index]!).filter((parts) => parts.length > 0);
    const frame = planFrames(chain, outCount);
    const widest = widestOf(productsOf(frame));
    const tokenBytes = 4 * (rowsOf(frame) + widest * inCount);
    for (let first = 0; first < group.tokens.length;) {
      if (left < tokenBytes && pass.length > 0) {
        yield pass;
        pass = [];
        left = passByteLength;
      }
      const count = Math.min(group.tokens.length - first, Math.max(1, Math.floor(left / tokenBytes)));
      pass.push({ frame, widest, tokens: group.tokens.slice(first, first + count) });
      left -= count * tokenBytes;
      first += count;
    }
  }
  if (pass.length > 0) yield pass;
}

/** A frame with its values in a kernel's memory: f32 `[tokens, rowCount]`. */
export interface FrameState {
  readonly frame: Frame;
  readonly address: Address;
  readonly children: readonly FrameState[];
}

/** One input of a group's tokens, and where its products go. */
export interface PassProduct {
  readonly group: PassGroup;
  readonly product: Product;
  readonly state: FrameState;
}

/** Where a product's tokens stand among the inputs' columns. */
interface Placed {
  readonly of: PassProduct;
  readonly column: number;
}

class LinearPass {
  readonly #job: LinearJob;
  readonly #shop: ApplyShop;
  readonly #groups: readonly PassGroup[];
  readonly #states: readonly FrameState[];
  readonly #weights: WeightRows;
  /** f32 `[in, columns]`. */
  readonly #inputs: Address;
  readonly #columns: number;
  /** f32 `[tileRows, columns]`. */
  readonly #product: Address;
  readonly #scratch: Scratch;
  /** All of the kernel's memory, which does not grow any more. */
  readonly #memory: Float32Array<ArrayBuffer>;
  #placed: readonly Placed[] = [];
  #placedColumns = 0;

  constructor(job: LinearJob, shop: ApplyShop, groups: readonly PassGroup[]) {
    const { arena, kernel } = shop;
    const { inCount } = job.weight;
    this.#job = job;
    this.#shop = shop;
    this.#groups = groups;
    this.#weights = new WeightRows(job.weight, kernel, arena);
    this.#columns = wholePanels(groups.reduce((sum, { widest, tokens }) => sum + widest * tokens.length, 0));
    this.#inputs = arena.take(inCount * this.#columns * 4);
    this.#product = arena.take(this.#weights.tileRows * this.#columns * 4);
    this.#scratch = takeScratch(shop, Math.max(inCount, job.weight.outCount));
    this.#states = groups.map((group) => placeFrame(group.frame, group.tokens.length, arena));
    this.#memory = new Float32Array(kernel.bytes.buffer);
    // Columns that are there for a whole panel alone hold what makes no work: the kernel looks twice at products of 0.
    this.#memory.fill(1, this.#inputs / 4, this.#inputs / 4 + inCount * this.#columns);
  }

  async run(): Promise<void> {
    const { weight, signal } = this.#job;
    const segments = segmentsOf(passProducts(this.#groups, this.#states));
    let segment = segments.next();
    const turns = new EventTurns();
    for (let start = 0; start < weight.outCount;) {
      await turns.wait();
      signal?.throwIfAborted();
      const end = start + await this.#weights.load(start);
      while (!segment.done && segment.value.start < end) {
        const { value } = segment;
        this.#placeInputs(value.active);
        this.#multiply(start, Math.max(start, value.start), Math.min(end, value.end));
        if (value.end > end) break;
        segment = segments.next();
      }
      start = end;
    }
    for (const [i, group] of this.#groups.entries()) {
      await turns.wait();
      signal?.throwIfAborted();
      this.#finish(group, this.#states[i]!);
      this.#collect(group, this.#states[i]!);
    }
  }

  /** Makes the inputs of some products, but for those that stand there already. */
  #placeInputs(products: readonly PassProduct[]): void {
    let next = 0;
    const before = this.#placed;
    this.#placed = products.map((of, i) => {
      const column = next;
      const old = before[i];
      const same = old?.column === column && old.of.group === of.group && old.of.product.key === of.product.key;
      if (!same) this.#fillColumns(of, column);
      next += of.group.tokens.length;
      return { of, column };
    });
    this.#placedColumns = wholePanels(next);
  }

  /** Hx of some tokens, as columns. */
  #fillColumns({ product: { steps }, group: { tokens } }: PassProduct, firstColumn: number): void {
    const { x, weight: { inCount } } = this.#job;
    const memory = this.#memory;
    const step = Math.floor(this.#scratch.byteLength / (4 * inCount));
    const address = this.#scratch.address / 4;
    for (let done = 0; done < tokens.length; done += step) {
      const count = Math.min(step, tokens.length - done);
      for (let t = 0; t < count; t++) {
        const token = tokens[done + t]!;
        memory.set(x.subarray(token * inCount, (token + 1) * inCount), address + t * inCount);
      }
      for (const { op, feature } of steps) {
        this.#shop.ops.get(op).transform({
          ...{ dtype: "F32", address: this.#scratch.address, rowStride: inCount * 4, rowCount: count },
          ...{ firstRow: feature, same: true },
        }, null);
      }
      const target = this.#inputs / 4 + firstColumn + done;
      for (let i = 0; i < inCount; i++) {
        const row = target + i * this.#columns;
        for (let t = 0; t < count; t++) memory[row + t] = memory[address + t * inCount + i]!;
      }
    }
  }

  /** Rows `[from, to)` of W, of the tile that begins at `tileStart`, times the inputs that are in place. */
  #multiply(tileStart: number, from: number, to: number): void {
    const k = this.#job.weight.inCount;
    const n = this.#placedColumns;
    const m = to - from;
    this.#shop.kernel.matmul({
      ...{ a: this.#weights.address + (from - tileStart) * k * 4, aStride: k * 4 },
      ...{ b: this.#inputs, bStride: this.#columns * 4, c: this.#product, cStride: n * 4, m, k, n },
    });
    // [rows, tokens] into frames, [tokens, rows].
    const memory = this.#memory;
    for (const { of: { state, group }, column } of this.#placed) {
      const target = state.address / 4 + placeOf(state.frame.rows, from);
      const source = this.#product / 4 + column;
      for (let t = 0; t < group.tokens.length; t++) {
        const row = target + t * state.frame.rowCount;
        for (let i = 0; i < m; i++) memory[row + i] = memory[source + i * n + t]!;
      }
    }
  }

  /** Takes over what other frames bring, then applies the output sides. */
  #finish(group: PassGroup, state: FrameState): void {
    const { frame } = state;
    const tokenCount = group.tokens.length;
    for (const [i, { rows }] of frame.children.entries()) {
      const child = state.children[i]!;
      this.#finish(group, child);
      for (const { start, count } of rows) {
        const from = child.address / 4 + placeOf(child.frame.rows, start);
        const to = state.address / 4 + placeOf(frame.rows, start);
        for (let t = 0; t < tokenCount; t++) {
          const row = from + t * child.frame.rowCount;
          this.#memory.copyWithin(to + t * frame.rowCount, row, row + count);
        }
      }
    }
    const place = { address: state.address, rows: frame.rows, rowCount: frame.rowCount, tokenCount };
    for (const part of frame.outputs) transformFeatures(part, place, this.#shop.ops.get(part.output!), this.#scratch);
  }

  #collect({ tokens }: PassGroup, { address }: FrameState): void {
    const { y, weight: { outCount } } = this.#job;
    for (const [t, token] of tokens.entries()) {
      const start = address / 4 + t * outCount;
      y.set(this.#memory.subarray(start, start + outCount), token * outCount);
    }
  }
}

/** The kernel multiplies eight columns in the time of one. */
function wholePanels(columnCount: number): number {
  return Math.ceil(columnCount / 8) * 8;
}

/** Room for a frame, and for all that it is made of. */
export function placeFrame(frame: Frame, tokenCount: number, arena: Arena): FrameState {
  const address = arena.take(frame.rowCount * tokenCount * 4);
  return { frame, address, children: frame.children.map((child) => placeFrame(child.frame, tokenCount, arena)) };
}

/** What a pass multiplies. */
export function passProducts(groups: readonly PassGroup[], states: readonly FrameState[]): PassProduct[] {
  return groups.flatMap((group, i) =>
    statesOf(states[i]!).flatMap((state) => state.frame.products.map((product) => ({ group, product, state })))
  );
}

/** A frame and all that it is made of. */
export function statesOf(state: FrameState): FrameState[] {
  return [state, ...state.children.flatMap(statesOf)];
}
