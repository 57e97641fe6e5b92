import { type Dtype, DTYPE_BITS } from "./dtype.ts";

/** Dimensions, offsets, counts and sizes in bits are below this, as they are in the reference library. */
export const U64_LIMIT: bigint = 2n ** 64n;

/**
 * Bytes of a tensor, or what is wrong with its size.
 *
 * The product is taken in the order of the shape and may pass 2^64 nowhere on the way: `[2^40, 2^40, 0]` overflows,
 * `[0, 2^40, 2^40]` does not (the reference library's `checked_mul`).
 */
export function tensorByteLength(dtype: Dtype, shape: readonly bigint[]): bigint | string {
  let product = 1n;
  for (const dimension of shape) {
    if (dimension < 0n || dimension >= U64_LIMIT) return `the dimension ${dimension} is not from 0 to 2^64 - 1`;
    product *= dimension;
    if (product >= U64_LIMIT) return "the element count passes 2^64";
  }
  const bits = product * BigInt(DTYPE_BITS[dtype]);
  if (bits >= U64_LIMIT) return "the size in bits passes 2^64";
  if (bits % 8n !== 0n) return `${product} elements of ${DTYPE_BITS[dtype]} bits end within a byte`;
  return bits / 8n;
}
