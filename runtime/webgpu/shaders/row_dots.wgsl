// cu = α·Σ w[e]·û[e] and cv = β·Σ w[e]·v̂[e] for each chunk w of each row: the first half of w·H.
//
//   tile     rowCount rows of chunkCount · chunkLength elements, rowStride elements apart
//   û, v̂     f32 in lane order, one for each chunk, vectorStride words apart (0: one for all)
//   results  f32 [rowCount · chunkCount, 2]
//
// One workgroup for each chunk. A lane sums every 64th product, in segments of 64; then the lanes' sums are added by
// halves: no chain is longer than 64 terms for chunks of up to 262,144.

struct Job {
  tile: u32,
  rowCount: u32,
  rowStride: u32,
  chunkCount: u32,
  chunkLength: u32,
  u: u32,
  v: u32,
  vectorStride: u32,
  alpha: f32,
  beta: f32,
  limit: u32,
  grid: u32,
}
@group(0) @binding(3) var<uniform> job: Job;

const LANES = 64u;
const SEGMENT = 64u;
var<workgroup> sums: array<vec2<f32>, LANES>;
var<workgroup> seen: array<u32, LANES>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let item = group.y * job.grid + group.x;
  if (item >= job.rowCount * job.chunkCount) {
    return;
  }
  let row = item / job.chunkCount;
  let chunk = item % job.chunkCount;
  let n = job.chunkLength;
  let first = job.tile + row * job.rowStride + chunk * n;
  let u = job.u + chunk * job.vectorStride;
  let v = job.v + chunk * job.vectorStride;

  var total = vec2<f32>(0.0);
  var largest = 0u;
  for (var start = lane; start < n; start += LANES * SEGMENT) {
    var partial = vec2<f32>(0.0);
    for (var e = start; e < min(n, start + LANES * SEGMENT); e += LANES) {
      let bits = bits_of(load_code(first + e));
      largest = max(largest, size_bits(bits));
      let w = bitcast<f32>(bits);
      partial.x += w * f32_at(u + lane_of(e));
      if (job.v != NONE) {
        partial.y += w * f32_at(v + lane_of(e));
      }
    }
    total += partial;
  }
  sums[lane] = total;
  seen[lane] = largest;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      sums[lane] += sums[lane + half];
      seen[lane] = max(seen[lane], seen[lane + half]);
    }
    workgroupBarrier();
  }
  if (lane != 0u) {
    return;
  }
  let d = sums[0];
  let c = vec2<f32>(job.alpha, job.beta) * d;
  results[2u * item] = c.x;
  results[2u * item + 1u] = c.y;
  let fits = size_bits(bitcast<u32>(c.x)) < job.limit && size_bits(bitcast<u32>(c.y)) < job.limit;
  let small = max(size_bits(bitcast<u32>(d.x)), size_bits(bitcast<u32>(d.y))) < LEAST;
  if (!fits || seen[0] >= INFINITY || (small && seen[0] != 0u)) {
    raise();
  }
}
