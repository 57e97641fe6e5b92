/**
 * Gives an array's memory back at once: what waits for the next collection of garbage is memory that the process holds.
 * On a host that cannot, it waits. The array is empty afterwards.
 */
export function freeArray(array: Float64Array<ArrayBuffer>): void {
  array.buffer.transfer?.(0);
}
