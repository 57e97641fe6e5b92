// w[i,j] ← w[i,j] − (cu·û[e] − cv·v̂[e]) − (p[i]·s[j] − q[i]·t[j]): both sides of a transformation, with one rounding.
//
//   tile     as in row_dots, which leaves cu and cv in `results`; without a right part (u = NONE) there are none
//   p, q     f32 [rowCount]
//   s, t     f32 in lane order, one vector for each chunk, sumsStride words apart
//
// One invocation for each word of the tile, whoever's elements it holds: nobody else writes it. An element that nothing
// is taken from keeps its code.

struct Job {
  tile: u32,
  rowCount: u32,
  rowStride: u32,
  chunkCount: u32,
  chunkLength: u32,
  u: u32,
  v: u32,
  vectorStride: u32,
  p: u32,
  q: u32,
  s: u32,
  t: u32,
  sumsStride: u32,
  firstWord: u32,
  wordCount: u32,
  grid: u32,
}
@group(0) @binding(3) var<uniform> job: Job;

fn updated(e: u32, code: u32) -> u32 {
  if (e < job.tile) {
    return code;
  }
  let row = (e - job.tile) / job.rowStride;
  let column = (e - job.tile) % job.rowStride;
  if (row >= job.rowCount || column >= job.chunkCount * job.chunkLength) {
    return code;
  }
  let chunk = column / job.chunkLength;
  let lane = lane_of(column % job.chunkLength);
  var taken = 0.0;
  if (job.u != NONE) {
    let item = row * job.chunkCount + chunk;
    let place = chunk * job.vectorStride + lane;
    taken = results[2u * item] * f32_at(job.u + place);
    if (job.v != NONE) {
      taken -= results[2u * item + 1u] * f32_at(job.v + place);
    }
  }
  if (job.s != NONE) {
    let place = chunk * job.sumsStride + lane;
    var left = f32_at(job.p + row) * f32_at(job.s + place);
    if (job.t != NONE) {
      left -= f32_at(job.q + row) * f32_at(job.t + place);
    }
    taken += left;
  }
  let bits = bits_of(code);
  if (size_bits(bitcast<u32>(taken)) == 0u && is_finite(bits)) {
    return code;
  }
  // What is taken is finite: four products of numbers below 2^125 and of numbers of at most 1.
  let result = bitcast<u32>(bitcast<f32>(bits) - taken);
  if (!is_finite(bits) || !is_finite(result)) {
    raise();
  }
  return code_of(result);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * job.grid + group.x) * 64u + lane;
  if (index >= job.wordCount) {
    return;
  }
  let word = job.firstWord + index;
  let old = memory[word];
  if (dtype == F32) {
    memory[word] = updated(word, old);
  } else {
    let low = updated(2u * word, old & 0xffffu);
    let high = updated(2u * word + 1u, old >> 16u);
    memory[word] = low | (high << 16u);
  }
}
