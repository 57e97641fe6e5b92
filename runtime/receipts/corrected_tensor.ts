/** A tensor whose undone elements are put right, block by block, by what a receipt holds. */
import { EtherError } from "../error.ts";
import type { ByteSource } from "../io/source.ts";
import type { Correction, TensorSpan } from "../plans/plan.ts";
import { elementByteLength } from "../safetensors/dtype.ts";
import { ResidualDecoder } from "./residual_decoder.ts";
import { BLOCK_ELEMENTS, blockCountOf, END_BYTES, MAX_ELEMENT_BYTES } from "./residual_model.ts";

type EmitBytes = (offset: number, bytes: Uint8Array<ArrayBufferLike>) => void | Promise<void>;

/** Computes bytes `[start, end)` of the tensor and gives them away in order; the bytes may be changed in place. */
export type ProduceUndone = (start: number, end: number, emit: EmitBytes) => Promise<void>;

/** A block's bytes in the table of a tensor, u32, little-endian. */
export const TABLE_ENTRY_BYTES = 4;

/** One tensor's part of a receipt. */
export class CorrectedTensor {
  readonly #span: TensorSpan;
  readonly #receipt: ByteSource;
  readonly #decoder: ResidualDecoder;
  /** Where each block begins in the receipt, and where the last one ends. f64 `[blockCount + 1]` */
  readonly #starts: Float64Array;
  #buffer = new Uint8Array(0);
  /** The block that the decoder is in; −1 before the first. */
  #block = -1;

  private constructor(span: TensorSpan, receipt: ByteSource, starts: Float64Array) {
    this.#span = span;
    this.#receipt = receipt;
    this.#starts = starts;
    this.#decoder = new ResidualDecoder(span.dtype);
  }

  /** Reads the table of blocks. @throws {EtherError} `verify_failed` for one that is damaged */
  static async open(span: TensorSpan, receipt: ByteSource): Promise<CorrectedTensor> {
    const { offset, byteLength } = span.correction as Correction;
    const elementCount = span.byteLength / elementByteLength(span.dtype);
    const blockCount = blockCountOf(elementCount);
    const damaged = () =>
      new EtherError("verify_failed", "the receipt's blocks do not fit the tensor", {
        file: receipt.name,
        tensor: span.name,
        hint: "the receipt is damaged, or of another merge",
      });
    const table = new Uint8Array(blockCount * TABLE_ENTRY_BYTES);
    if (table.byteLength > byteLength) throw damaged();
    await receipt.read(offset, table);
    const view = new DataView(table.buffer);
    const starts = new Float64Array(blockCount + 1);
    starts[0] = offset + table.byteLength;
    for (let block = 0; block < blockCount; block++) {
      const length = view.getUint32(block * TABLE_ENTRY_BYTES, true);
      if (length > BLOCK_ELEMENTS * MAX_ELEMENT_BYTES + END_BYTES) throw damaged();
      starts[block + 1] = starts[block]! + length;
    }
    if (starts[blockCount] !== offset + byteLength) throw damaged();
    return new CorrectedTensor(span, receipt, starts);
  }

  /** Gives bytes `[start, end)` away, in order, as the base has them. */
  async produce(start: number, end: number, emit: EmitBytes, produceUndone: ProduceUndone): Promise<void> {
    const elementBytes = elementByteLength(this.#span.dtype);
    const blockBytes = BLOCK_ELEMENTS * elementBytes;
    // A block is decoded from its beginning, and an element as a whole.
    const first = Math.floor(start / blockBytes) * blockBytes;
    const last = Math.ceil(end / elementBytes) * elementBytes;
    this.#block = -1;
    await produceUndone(first, last, async (offset, bytes) => {
      for (let done = 0; done < bytes.byteLength;) {
        const block = Math.floor((offset + done) / blockBytes);
        if (block !== this.#block) await this.#begin(block);
        const stop = Math.min(bytes.byteLength, (block + 1) * blockBytes - offset);
        this.#decoder.restore(bytes.subarray(done, stop));
        done = stop;
      }
      const from = Math.max(0, start - offset);
      const to = Math.min(bytes.byteLength, end - offset);
      if (from < to) await emit(offset + from, bytes.subarray(from, to));
    });
  }

  async #begin(block: number): Promise<void> {
    const from = this.#starts[block]!;
    const byteLength = this.#starts[block + 1]! - from;
    if (this.#buffer.byteLength < byteLength) this.#buffer = new Uint8Array(byteLength + (byteLength >> 3));
    const bytes = this.#buffer.subarray(0, byteLength);
    await this.#receipt.read(from, bytes);
    this.#decoder.begin(bytes);
    this.#block = block;
  }
}
