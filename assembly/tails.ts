// The last n mod 8 elements of a chunk, of up to four rows, are worked on in a zero-padded copy: what follows them in
// the tile is another chunk, or anything. A zero adds nothing to a dot.

/** Room for one group of each of four rows. */
export const TAILS = memory.data(4 * 32, 16);
export const TAIL_STRIDE: usize = 32;

/** Copies `length` bytes of each of `rows` rows to TAILS. */
export function takeTails(w: usize, stride: usize, length: usize, rows: usize): void {
  memory.fill(TAILS, 0, 4 * TAIL_STRIDE);
  for (let row: usize = 0; row < rows; ++row) move(TAILS + row * TAIL_STRIDE, w + row * stride, length);
}

/** Copies them back. */
export function putTails(w: usize, stride: usize, length: usize, rows: usize): void {
  for (let row: usize = 0; row < rows; ++row) move(w + row * stride, TAILS + row * TAIL_STRIDE, length);
}

// At most 28 bytes, in twos: faster than a call of memory.copy.
@inline function move(target: usize, source: usize, length: usize): void {
  for (let i: usize = 0; i < length; i += 2) store<u16>(target + i, load<u16>(source + i));
}
