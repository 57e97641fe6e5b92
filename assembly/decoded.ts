// Decoding an F16 is slow enough to do it only once: the dots of a block of rows leave its elements, as f32, to the
// update. They should stay in a near cache; a chunk too long for that is decoded twice.

/** Elements of the longest chunk that is kept. */
export const LONGEST: usize = 4096;

/** For each group of the chunk, for each of up to four rows: the two f32 vectors. */
export const DECODED = memory.data(4 * 4 * <i32>LONGEST, 16);
