// Resident weights: whole rows of W [out, in] in the dtype of the file, each row padded with zeros to a multiple of eight
// elements: 16 bytes of a 16-bit dtype, 32 of F32.
//
//   inputs    f32 [columns, width] of vec4, width = padded / 4
//   weights   [rows, wordsOfRow / 4] of vec4 of words

@group(1) @binding(0) var<storage, read> inputs: array<vec4<f32>>;
@group(1) @binding(1) var<storage, read> weights: array<vec4<u32>>;

struct Eight {
  low: vec4<f32>,
  high: vec4<f32>,
}

// Elements 8·k to 8·k + 7 of the row that begins at vec4 `first`.
fn load_eight(first: u32, k: u32) -> Eight {
  if (dtype == F32) {
    return Eight(bitcast<vec4<f32>>(weights[first + 2u * k]), bitcast<vec4<f32>>(weights[first + 2u * k + 1u]));
  }
  let words = weights[first + k];
  if (dtype == BF16) {
    let even = bitcast<vec4<f32>>(words << vec4<u32>(16u));
    let odd = bitcast<vec4<f32>>(words & vec4<u32>(0xffff0000u));
    return Eight(vec4<f32>(even.x, odd.x, even.y, odd.y), vec4<f32>(even.z, odd.z, even.w, odd.w));
  }
  return Eight(
    vec4<f32>(f16_low(words.x), f16_high(words.x), f16_low(words.y), f16_high(words.y)),
    vec4<f32>(f16_low(words.z), f16_high(words.z), f16_low(words.w), f16_high(words.w)),
  );
}

fn f16_low(word: u32) -> f32 {
  return bitcast<f32>(bits_of(word & 0xffffu));
}

fn f16_high(word: u32) -> f32 {
  return bitcast<f32>(bits_of(word >> 16u));
}

// What is not finite, or may have lost digits on the way.
fn check(y: f32) {
  let size = size_bits(bitcast<u32>(y));
  if (size >= INFINITY || (size < LEAST && size != 0u)) {
    raise();
  }
}
