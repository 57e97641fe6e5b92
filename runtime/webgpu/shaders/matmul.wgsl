// C = A·B: the dense blocks of a rotation, along the rows or down.
//
//   A [m, k], B [k, n], C [m, n]   f32, row strides in words
//
// A workgroup makes 16 × 16 elements of C from strips of 16 of k, kept where all of it can reach them. A chain runs
// over 64 terms; its sums are added in order.

struct Job {
  a: u32,
  aStride: u32,
  b: u32,
  bStride: u32,
  c: u32,
  cStride: u32,
  m: u32,
  k: u32,
  n: u32,
  columns: u32,
  grid: u32,
}
@group(0) @binding(3) var<uniform> job: Job;

const SIDE = 16u;
var<workgroup> aTile: array<u32, 256>;
var<workgroup> bTile: array<u32, 256>;

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let item = group.y * job.grid + group.x;
  if (item >= ((job.m + SIDE - 1u) / SIDE) * job.columns) {
    return;
  }
  let row = (item / job.columns) * SIDE + local.y;
  let column = (item % job.columns) * SIDE + local.x;
  let here = local.y * SIDE + local.x;
  var total = 0.0;
  var partial = 0.0;
  var seen = false;
  var finite = true;
  for (var start = 0u; start < job.k; start += SIDE) {
    aTile[here] = 0u;
    bTile[here] = 0u;
    if (row < job.m && start + local.x < job.k) {
      aTile[here] = memory[job.a + row * job.aStride + start + local.x];
    }
    if (column < job.n && start + local.y < job.k) {
      bTile[here] = memory[job.b + (start + local.y) * job.bStride + column];
    }
    workgroupBarrier();
    for (var e = 0u; e < SIDE; e++) {
      let a = aTile[local.y * SIDE + e];
      let b = bTile[e * SIDE + local.x];
      seen = seen || (size_bits(a) != 0u && size_bits(b) != 0u);
      finite = finite && is_finite(a) && is_finite(b);
      partial += bitcast<f32>(a) * bitcast<f32>(b);
    }
    if ((start / SIDE) % 4u == 3u) {
      total += partial;
      partial = 0.0;
    }
    workgroupBarrier();
  }
  total += partial;
  if (row >= job.m || column >= job.n) {
    return;
  }
  let bits = bitcast<u32>(total);
  memory[job.c + row * job.cStride + column] = bits;
  if (!finite || !is_finite(bits) || (seen && size_bits(bits) < LEAST)) {
    raise();
  }
}
