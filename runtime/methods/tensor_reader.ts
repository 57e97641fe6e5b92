import type { OpenSource } from "../io/folder.ts";
import { widenToFloat32 } from "../safetensors/decode.ts";
import { elementByteLength } from "../safetensors/dtype.ts";
import { gatherElements } from "../safetensors/strided.ts";
import type { TensorRef } from "./op.ts";

/**
 * Reads adapter tensors, one after the other, into the same buffer: a large adapter leaves no garbage behind.
 *
 * An adapter's tensors are in one file, which stays open until {@link close}.
 */
export class TensorReader {
  readonly #openSource: OpenSource;
  #buffer = new ArrayBuffer(0);
  #open: { readonly locator: string; readonly source: Awaited<ReturnType<OpenSource>> } | null = null;

  constructor(openSource: OpenSource) {
    this.#openSource = openSource;
  }

  /** The values as f32, exactly; the caller may change them. They are gone with the next read. */
  async read(ref: TensorRef): Promise<Float32Array<ArrayBuffer>> {
    const count = ref.byteLength / elementByteLength(ref.dtype);
    if (this.#buffer.byteLength < count * 4) this.#buffer = new ArrayBuffer(count * 4);
    // The narrow values come to lie at the end, and are widened from the front on.
    const bytes = new Uint8Array(this.#buffer, count * 4 - ref.byteLength, ref.byteLength);
    if (this.#open?.locator !== ref.locator) {
      this.close();
      this.#open = { locator: ref.locator, source: await this.#openSource(ref.locator) };
    }
    const { source } = this.#open;
    if (ref.strides === undefined) await source.read(ref.offset, bytes);
    else await gatherElements(source, { ...ref, strides: ref.strides }, bytes);
    const values = new Float32Array(this.#buffer, 0, count);
    widenToFloat32(ref.dtype, bytes, values);
    return values;
  }

  close(): void {
    this.#open?.source.close();
    this.#open = null;
  }
}
