// a[j] = Σᵢ scale·p[i]·w[i,j] over one segment of rows, and the same for q: the reduction s = ũᵀW of the output side.
//
//   tile     rowCount rows of columnCount elements, rowStride elements apart
//   p, q     f32 [rowCount]; q may be NONE
//   results  f32 [columnCount], then the same for q
//
// One invocation for each column, rows in increasing order; a segment has at most 64. With scale = 2^60 (1 for F16)
// no product is so small that f32 loses digits of it; whoever adds the sums takes it away again.

struct Job {
  tile: u32,
  rowCount: u32,
  rowStride: u32,
  columnCount: u32,
  p: u32,
  q: u32,
  scale: f32,
  target_: u32,
  grid: u32,
}
@group(0) @binding(3) var<uniform> job: Job;

// 2^60 · 2^-100
const LEAST_SCALED = 0x2b800000u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let column = (group.y * job.grid + group.x) * 64u + lane;
  if (column >= job.columnCount) {
    return;
  }
  var sums = vec2<f32>(0.0);
  var finite = true;
  var seen = vec2<bool>(false);
  for (var row = 0u; row < job.rowCount; row++) {
    let bits = bits_of(load_code(job.tile + row * job.rowStride + column));
    finite = finite && is_finite(bits);
    let w = bitcast<f32>(bits);
    let p = memory[job.p + row];
    seen.x = seen.x || (size_bits(bits) != 0u && size_bits(p) != 0u);
    sums.x += (job.scale * bitcast<f32>(p)) * w;
    if (job.q != NONE) {
      let q = memory[job.q + row];
      seen.y = seen.y || (size_bits(bits) != 0u && size_bits(q) != 0u);
      sums.y += (job.scale * bitcast<f32>(q)) * w;
    }
  }
  results[job.target_ + column] = sums.x;
  let x = size_bits(bitcast<u32>(sums.x));
  let y = size_bits(bitcast<u32>(sums.y));
  if (job.q != NONE) {
    results[job.target_ + job.columnCount + column] = sums.y;
  }
  let least = select(LEAST_SCALED, LEAST, dtype == F16);
  if (!finite || max(x, y) >= INFINITY || (seen.x && x < least) || (seen.y && y < least)) {
    raise();
  }
}
