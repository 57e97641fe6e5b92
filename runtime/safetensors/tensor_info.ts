import type { Dtype } from "./dtype.ts";

/** One tensor of a file. Every number is exact: what passed the reader's checks fits the file. */
export interface TensorInfo {
  /** Any text but `__metadata__`. */
  readonly name: string;
  /** One of the format's dtypes. */
  readonly dtype: Dtype;
  /** As torch has it: a linear weight is `[out, in]`. Rounded where {@link exactShape} is there. */
  readonly shape: readonly number[];
  /**
   * Only if a dimension is above 2^53, which a tensor of no bytes may have (`[0, 18446744073709551615]` is valid). So
   * that every other reader of a shape has plain numbers, only what writes or hashes one looks here.
   */
  readonly exactShape?: readonly bigint[];
  /**
   * Only where the elements do not lie in order, which no safetensors file has: in elements, one for each dimension.
   * Then the tensor is a view that must be gathered ({@link gatherElements}).
   */
  readonly strides?: readonly number[];
  /** Where the first byte lies in the file. */
  readonly offset: number;
  /** How many bytes it takes; those of its elements. */
  readonly byteLength: number;
}

/** The exact dimensions, `d0,d1`; empty for rank 0. */
export function shapeText(tensor: Pick<TensorInfo, "shape" | "exactShape">): string {
  return (tensor.exactShape ?? tensor.shape.map(BigInt)).join(","); // a large double prints rounded, a bigint does not
}
