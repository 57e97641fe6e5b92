// What a loop is specialised for is named by types, so that one generic function becomes one tight loop per case.

// A dtype goes by the integer or float type of its width: sizeof<D>() is the bytes of one element.
export type F32 = f32;
export type BF16 = u16;
export type F16 = i16;

@inline export function isF32<D>(): bool { return isFloat<D>(); }
@inline export function isF16<D>(): bool { return !isFloat<D>() && isSigned<D>(); }
@inline export function isBF16<D>(): bool { return !isFloat<D>() && !isSigned<D>(); }

// A count known at compile time (rows of a block, vectors of a side) goes by a type of twice its size.
export type Zero = u8;
export type One = u16;
export type Two = u32;
export type Four = u64;

@inline export function count<N>(): usize { return sizeof<N>() >> 1; }
