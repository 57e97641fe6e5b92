/** Tensors whose elements do not lie in order: views of a larger one, as torch saves them. */
import type { ByteSource } from "../io/source.ts";
import { elementByteLength, type FloatDtype } from "./dtype.ts";

/** What a view may take, or span, in memory: no adapter's parameter comes near it, and a claim must not decide. */
export const MAX_GATHERED_BYTES = 256 << 20;

/** A view, by its place in a file. */
export interface StridedTensor {
  readonly dtype: FloatDtype;
  readonly shape: readonly number[];
  /** In elements, one for each dimension. */
  readonly strides: readonly number[];
  /** Where the first element's first byte lies. */
  readonly offset: number;
}

/** Elements from the first one to behind the last one; 0 where there is none. Above 2^53 only roughly. */
export function spanOf(shape: readonly number[], strides: readonly number[]): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((span, size, axis) => span + (size - 1) * strides[axis]!, 1);
}

/**
 * Reads a view's elements in row-major order.
 *
 * @param into  as many bytes as the elements take
 * @throws {EtherError} `io_error`
 */
export async function gatherElements(
  source: ByteSource,
  { dtype, shape, strides, offset }: StridedTensor,
  into: Uint8Array,
): Promise<void> {
  const width = elementByteLength(dtype);
  const span = new Uint8Array(spanOf(shape, strides) * width);
  await source.read(offset, span);
  let written = 0;
  const gather = (axis: number, from: number): void => {
    if (axis === shape.length) {
      for (let i = 0; i < width; i++) into[written++] = span[from * width + i]!;
      return;
    }
    for (let i = 0; i < shape[axis]!; i++) gather(axis + 1, from + i * strides[axis]!);
  };
  if (span.byteLength > 0) gather(0, 0);
}
