/** Rows of W `[out, in]` in f32, tile by tile, however the matrix is stored. */
import type { ByteSource } from "../io/source.ts";
import type { Address, Kernel } from "../kernel/kernel.ts";
import type { Arena } from "../methods/arena.ts";
import { elementByteLength, type FloatDtype } from "../safetensors/dtype.ts";

/** A decoded tile should stay in a core's cache. */
const TILE_BYTES = 1 << 20;
/** Of a matrix stored `[in, out]`, whole columns are read: this many bytes of them at once. */
const PANEL_BYTES = 8 << 20;

/** Where a matrix is. */
export interface StoredWeight {
  readonly source: ByteSource;
  /** The first byte in the source. */
  readonly offset: number;
  readonly dtype: FloatDtype;
  /** W is `[out, in]`, as torch's Linear has it. */
  readonly outCount: number;
  readonly inCount: number;
  /** True where the file has W's transpose: GPT-2's Conv1D. */
  readonly storedInOut: boolean;
}

/** Reads tiles of rows into a kernel's memory. */
export class WeightRows {
  /** Rows of a tile; each begins at a multiple of it. */
  readonly tileRows: number;
  /** The tile: f32 `[tileRows, in]`. */
  readonly address: Address;

  readonly #weight: StoredWeight;
  readonly #kernel: Kernel;
  readonly #raw: Address;
  readonly #panel: Address;
  readonly #panelColumns: number;
  #panelStart = -1;

  constructor(weight: StoredWeight, kernel: Kernel, arena: Arena) {
    const { inCount, outCount, dtype } = weight;
    const elementBytes = elementByteLength(dtype);
    this.#weight = weight;
    this.#kernel = kernel;
    this.tileRows = Math.min(outCount, Math.max(4, Math.floor(TILE_BYTES / (inCount * 4))));
    this.address = arena.take(this.tileRows * inCount * 4);
    this.#raw = arena.take(this.tileRows * inCount * elementBytes);
    const tilesOfPanel = Math.max(1, Math.floor(PANEL_BYTES / (inCount * elementBytes * this.tileRows)));
    this.#panelColumns = Math.min(outCount, tilesOfPanel * this.tileRows);
    this.#panel = weight.storedInOut ? arena.take(inCount * this.#panelColumns * elementBytes) : 0;
  }

  /** Reads rows `[start, start + tileRows)`, or as many as there are; answers how many. `start` begins a tile. */
  async load(start: number): Promise<number> {
    const { source, offset, inCount, outCount, dtype, storedInOut } = this.#weight;
    const count = Math.min(this.tileRows, outCount - start);
    const rowBytes = inCount * elementByteLength(dtype);
    if (storedInOut) await this.#gather(start, count);
    else await source.read(offset + start * rowBytes, this.#bytes(this.#raw, count * rowBytes));
    this.#kernel.decode(dtype, this.#raw, count * inCount, this.address);
    return count;
  }

  /** Columns of the stored matrix as rows, through a panel of them. */
  async #gather(start: number, count: number): Promise<void> {
    const { inCount, outCount, dtype } = this.#weight;
    if (this.#panelStart < 0 || start < this.#panelStart || start >= this.#panelStart + this.#panelColumns) {
      this.#panelStart = -1;
      await this.#readPanel(start, Math.min(this.#panelColumns, outCount - start));
      this.#panelStart = start;
    }
    const width = Math.min(this.#panelColumns, outCount - this.#panelStart);
    const Codes = elementByteLength(dtype) === 4 ? Uint32Array : Uint16Array;
    const { buffer } = this.#kernel.bytes;
    const panel = new Codes(buffer, this.#panel, inCount * width);
    const rows = new Codes(buffer, this.#raw, count * inCount);
    for (let i = 0; i < inCount; i++) {
      const from = i * width + start - this.#panelStart;
      for (let row = 0; row < count; row++) rows[row * inCount + i] = panel[from + row]!;
    }
  }

  async #readPanel(start: number, width: number): Promise<void> {
    const { source, offset, inCount, outCount, dtype } = this.#weight;
    const elementBytes = elementByteLength(dtype);
    if (width === outCount) {
      await source.read(offset, this.#bytes(this.#panel, inCount * width * elementBytes));
      return;
    }
    for (let i = 0; i < inCount; i++) {
      const target = this.#bytes(this.#panel + i * width * elementBytes, width * elementBytes);
      const pending = source.read(offset + (i * outCount + start) * elementBytes, target);
      if (pending !== undefined) await pending;
    }
  }

  #bytes(address: Address, byteLength: number): Uint8Array<ArrayBuffer> {
    return this.#kernel.bytes.subarray(address, address + byteLength);
  }
}
