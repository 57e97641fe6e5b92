// A group is eight neighbouring elements of a row: one v128 of 16-bit codes, or two of f32. Loops work on two vectors
// of four f32, and every f32 vector that they meet (û, v̂, s, t) lies in memory in the same order, zero-padded:
//
//   dtype      first v128        second v128
//   F32        e0 e1 e2 e3       e4 e5 e6 e7
//   BF16, F16  e0 e2 e4 e6       e1 e3 e5 e7     even and odd codes: shifts and masks split them, without shuffles
//
// The functions here take only finite elements (encode: also infinite ones); the loops make sure of that.
import { isBF16, isF16, isF32 } from "./types";

/** Bytes of a group of vectors. */
export const VECTOR_GROUP: usize = 32;

/** Bytes of a group in a tile. */
@inline export function tileGroup<D>(): usize { return 8 * sizeof<D>(); }

// Opaque constants: V8 builds a v128.const again in every turn of a loop, which costs up to a factor of 1.7, and the
// compiler folds a local that holds one back into it. A value loaded from memory is a value that neither can see
// through, so each function loads the constants of its codec into locals k0, k1, ... before its loop and hands them on.
const CONSTANTS = memory.data<u32>([
  // BF16                                               k
  0xffff0000, 0xffff0000, 0xffff0000, 0xffff0000, //    0  the odd codes, as f32
  0x00010001, 0x00010001, 0x00010001, 0x00010001, //    1  the last bit of each code
  // F16
  0x8fffe000, 0x8fffe000, 0x8fffe000, 0x8fffe000, //    0  sign, exponent and mantissa, moved to where f32 has them
  0x77800000, 0x77800000, 0x77800000, 0x77800000, //    1  2^112, the difference of the exponents' biases
  0x80008000, 0x80008000, 0x80008000, 0x80008000, //    2  the sign, in the upper half of an f32
  0x7f807f80, 0x7f807f80, 0x7f807f80, 0x7f807f80, //    3  the exponent, in the upper half of an f32
  0x38803880, 0x38803880, 0x38803880, 0x38803880, //    4  113, the exponent of the least normal F16, there
  0x3f003f00, 0x3f003f00, 0x3f003f00, 0x3f003f00, //    5  126: back again, and 13 more
  0x7c007c00, 0x7c007c00, 0x7c007c00, 0x7c007c00, //    6  the code of infinity
  0x00002000, 0x00002000, 0x00002000, 0x00002000, //    7  2^13 times the even code
], 16);

/** The codec's constant `k`; an index that the dtype does not have gives some value that nobody uses. */
@inline export function constant<D>(k: usize): v128 {
  if (isF16<D>()) return v128.load(CONSTANTS + 32 + 16 * k);
  if (isBF16<D>() && k < 2) return v128.load(CONSTANTS + 16 * k);
  return i32x4.splat(0);
}

// F16 is decoded by moving the code to where f32 has its exponent and mantissa, and multiplying by the difference of
// the biases. That is exact, also for subnormals, and wrong (finite) for infinities and NaNs. The even code is moved,
// and its sign spread, by one product of 16-bit numbers.

/** The first f32 vector of a group whose first 16 bytes are `raw`. */
@inline export function first<D>(raw: v128, k0: v128, k1: v128, k7: v128): v128 {
  const w = firstUnscaled<D>(raw, k0, k7);
  return isF16<D>() ? f32x4.mul(w, k1) : w;
}

/** The second f32 vector of the group at `address`, whose first 16 bytes are `raw`. */
@inline export function second<D>(raw: v128, address: usize, k0: v128, k1: v128): v128 {
  const w = secondUnscaled<D>(raw, address, k0);
  return isF16<D>() ? f32x4.mul(w, k1) : w;
}

// A loop that multiplies many elements by one number of at most 1 scales that number instead: the product is the same
// real number, and so the same f32.

/** F16: 2^-112 of the first vector. */
@inline export function firstUnscaled<D>(raw: v128, k0: v128, k7: v128): v128 {
  if (isF32<D>()) return raw;
  if (isF16<D>()) return v128.and(i32x4.dot_i16x8_s(raw, k7), k0);
  return i32x4.shl(raw, 16);
}

/** F16: 2^-112 of the second vector. */
@inline export function secondUnscaled<D>(raw: v128, address: usize, k0: v128): v128 {
  if (isF32<D>()) return v128.load(address, 16);
  if (isF16<D>()) return v128.and(i32x4.shr_s(raw, 3), k0);
  return v128.and(raw, k0);
}

/** F16: 2^112 of it. */
@inline export function scaled<D>(x: v128, k1: v128): v128 {
  return isF16<D>() ? f32x4.mul(x, k1) : x;
}

/** Rounds a group to nearest even and stores it. F16: values below 2^47, see codesF16. */
@inline export function storeGroup<D>(
  address: usize, a: v128, b: v128,
  k1: v128, k2: v128, k3: v128, k4: v128, k5: v128, k6: v128,
): void {
  if (isF32<D>()) {
    v128.store(address, a);
    v128.store(address, b, 16);
  } else if (isF16<D>()) {
    const upper = upperHalves(a, b);
    const signs = v128.and(upper, k2);
    const exponents = exponentsF16(upper, k3, k4);
    const rulers = i16x8.add(v128.or(exponents, signs), k5);
    v128.store(address, codesF16(a, b, signs, exponents, rulers, k6));
  } else {
    v128.store(address, packBF16(a, b, k1));
  }
}

/** Two groups of F16, step by step side by side: within a group, each step has to wait for the one before it. */
@inline export function storePairF16(
  address0: usize, a0: v128, b0: v128, address1: usize, a1: v128, b1: v128,
  k2: v128, k3: v128, k4: v128, k5: v128, k6: v128,
): void {
  const upper0 = upperHalves(a0, b0), upper1 = upperHalves(a1, b1);
  const signs0 = v128.and(upper0, k2), signs1 = v128.and(upper1, k2);
  const exponents0 = exponentsF16(upper0, k3, k4), exponents1 = exponentsF16(upper1, k3, k4);
  const rulers0 = i16x8.add(v128.or(exponents0, signs0), k5), rulers1 = i16x8.add(v128.or(exponents1, signs1), k5);
  const codes0 = codesF16(a0, b0, signs0, exponents0, rulers0, k6);
  const codes1 = codesF16(a1, b1, signs1, exponents1, rulers1, k6);
  v128.store(address0, codes0);
  v128.store(address1, codes1);
}

// Eight codes at once, in 16-bit lanes: `codes` are the upper halves, `rest` what is cut off. A code goes up by one if
// the rest is above a half, or just a half and the code odd: rest - even >= 0x8000, unsigned, where the subtraction
// stops at 0. That bit, spread over the lane, is -1, which is subtracted.
@inline function packBF16(a: v128, b: v128, k1: v128): v128 {
  const codes = upperHalves(a, b);
  const rest = evenOdd(a, i32x4.shl(b, 16));
  const even = v128.andnot(k1, codes);
  return i16x8.sub(codes, i16x8.shr_s(i16x8.sub_sat_u(rest, even), 15));
}

// F16: the FP adder rounds. Its ruler is a power of two, 2^13 above the number's exponent and of its sign; the ruler's
// last place is the F16's, so that the sum less the ruler is the mantissa, rounded to nearest even. There is one ruler
// for all subnormals. The upper halves of all eight numbers make the rulers, and the exponents of the codes, into which
// the mantissa's highest bit carries. Up to 2^47 a code is right but for being too large to be finite.
//
// The lower halves of the odd numbers' rulers are the even numbers' rulers. They are taken off again with the upper
// halves, and since each is an even number of last places, ties go where they should.

@inline function exponentsF16(upper: v128, k3: v128, k4: v128): v128 {
  return i16x8.sub_sat_u(v128.and(upper, k3), k4);
}

@inline function codesF16(a: v128, b: v128, signs: v128, exponents: v128, rulers: v128, k6: v128): v128 {
  const sumA = f32x4.add(a, i32x4.shl(rulers, 16));
  const marksB = i32x4.sub(f32x4.add(b, rulers), rulers);
  const codes = i16x8.add(evenOdd(sumA, i32x4.shl(marksB, 16)), i16x8.shl(exponents, 3));
  return v128.or(i16x8.min_u(codes, k6), signs);
}

/** The upper halves of the eight numbers. */
@inline function upperHalves(a: v128, b: v128): v128 {
  return evenOdd(i32x4.shr_u(a, 16), b);
}

/** Even 16-bit lanes of a, odd ones of b. */
@inline function evenOdd(a: v128, b: v128): v128 {
  return i16x8.shuffle(a, b, 0, 9, 2, 11, 4, 13, 6, 15);
}

/** Elements 2·pair and 2·pair + 1 of the vector group at `u`, in f64. */
@inline export function widen<D>(u: usize, pair: usize): v128 {
  if (isF32<D>()) return f64x2.promote_low_f32x4(v128.load64_zero(u + 8 * pair));
  const even = v128.load32_zero(u + 4 * pair), odd = v128.load32_zero(u + 4 * pair, 16);
  return f64x2.promote_low_f32x4(i32x4.shuffle(even, odd, 0, 4, 0, 4));
}

/** Where element `index` of a vector lies, in bytes from the vector's start. */
@inline export function lane<D>(index: usize): usize {
  if (isF32<D>()) return index << 2;
  return (((index & ~7) | ((index & 1) << 2) | ((index & 6) >> 1)) << 2);
}
