// What the primitives share; it stands before each of them.
//
//   memory   a part of the kernel's linear memory, little-endian, in words of 32 bits
//   element  of F32 is word e; of a 16-bit dtype it is half e & 1 of word e >> 1, the low half first
//
// Nothing here leans on how a device treats NaN, infinity, subnormal numbers or the direction of rounding: what is
// stored is taken apart and put together as integers, and what f32 cannot hold raises `flags`, so that the whole batch
// is done by the other kernel.

const F32 = 0u;
const BF16 = 1u;
const F16 = 2u;
override dtype: u32 = 0u;

const NONE = 0xffffffffu;
// Bits of 2^-100: sums below it may have lost digits of products below 2^-126.
const LEAST = 0x0d800000u;
const INFINITY = 0x7f800000u;

@group(0) @binding(0) var<storage, read_write> memory: array<u32>;
@group(0) @binding(1) var<storage, read_write> results: array<f32>;
@group(0) @binding(2) var<storage, read_write> flags: array<atomic<u32>>;

fn raise() {
  atomicOr(&flags[0], 1u);
}

fn size_bits(bits: u32) -> u32 {
  return bits & 0x7fffffffu;
}

fn is_finite(bits: u32) -> bool {
  return size_bits(bits) < INFINITY;
}

// The code of element e.
fn load_code(e: u32) -> u32 {
  if (dtype == F32) {
    return memory[e];
  }
  return (memory[e >> 1u] >> ((e & 1u) * 16u)) & 0xffffu;
}

// The f32 bits of a code: exact.
fn bits_of(code: u32) -> u32 {
  if (dtype == F32) {
    return code;
  }
  if (dtype == BF16) {
    return code << 16u;
  }
  let sign = (code & 0x8000u) << 16u;
  let exponent = (code >> 10u) & 31u;
  let mantissa = code & 0x3ffu;
  if (exponent == 31u) {
    return sign | INFINITY | (mantissa << 13u);
  }
  if (exponent == 0u) {
    // mantissa · 2^-24, a normal f32
    return sign | bitcast<u32>(f32(mantissa) * 5.9604644775390625e-8);
  }
  return sign | ((exponent + 112u) << 23u) | (mantissa << 13u);
}

// The code nearest to a finite f32, ties to even. Of anything else the code does not matter: the flag is up.
fn code_of(bits: u32) -> u32 {
  let size = size_bits(bits);
  if (dtype == F32) {
    return bits;
  }
  if (dtype == BF16) {
    return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
  }
  let sign = (bits >> 16u) & 0x8000u;
  if (size >= 0x477ff000u) { // 65520
    return sign | 0x7c00u;
  }
  if (size >= 0x38800000u) { // 2^-14, the least normal F16
    return sign | ((size - 0x38000000u + 0xfffu + ((size >> 13u) & 1u)) >> 13u);
  }
  // A subnormal is a whole number of 2^-24: the significand, shifted, with what is shifted out rounded.
  let shift = 126u - (size >> 23u);
  if (shift > 24u) {
    return sign;
  }
  let significand = (size & 0x7fffffu) | 0x800000u;
  let whole = significand >> shift;
  let rest = significand & ((1u << shift) - 1u);
  let half = 1u << (shift - 1u);
  let up = rest > half || (rest == half && (whole & 1u) == 1u);
  return sign | (whole + select(0u, 1u, up));
}

// Where element e of a vector stands that the kernel wrote in the lane order of the dtype.
fn lane_of(e: u32) -> u32 {
  if (dtype == F32) {
    return e;
  }
  return (e & ~7u) | ((e & 1u) << 2u) | ((e & 7u) >> 1u);
}

fn f32_at(word: u32) -> f32 {
  return bitcast<f32>(memory[word]);
}
