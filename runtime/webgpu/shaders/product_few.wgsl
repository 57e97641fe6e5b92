// y[c, r] = Σ W[r, i]·x[c, i] for up to four columns c: bound by reading W, which happens once for all of them.
//
//   rows      rowCount rows of `weights` from vec4 `first` on, rowStride vec4 apart
//   columns   `columns` (1 to 4) columns of `inputs` from `column` on
//   targets   one word for each column: where its row 0 goes, in words from `target` on
//
// A workgroup makes four rows, so that each load of x serves four. A lane takes every 64th group of eight elements; its
// chain runs over in / 64 terms; the lanes' sums are added by halves.

struct Job {
  first: u32,
  rowStride: u32,
  rowCount: u32,
  row: u32,
  width: u32,
  column: u32,
  columns: u32,
  targets: u32,
  target_: u32,
  grid: u32,
}
@group(0) @binding(3) var<uniform> job: Job;

const LANES = 64u;
const ROWS = 4u;
// One vec4 of columns for each row.
var<workgroup> sums: array<array<vec4<f32>, ROWS>, LANES>;

fn dot_eight(w: Eight, x: u32) -> f32 {
  return dot(w.low, inputs[x]) + dot(w.high, inputs[x + 1u]);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let firstRow = (group.y * job.grid + group.x) * ROWS;
  if (firstRow >= job.rowCount) {
    return;
  }
  // Rows beyond the last repeat it.
  let last = job.rowCount - 1u;
  let w0 = job.first + min(firstRow, last) * job.rowStride;
  let w1 = job.first + min(firstRow + 1u, last) * job.rowStride;
  let w2 = job.first + min(firstRow + 2u, last) * job.rowStride;
  let w3 = job.first + min(firstRow + 3u, last) * job.rowStride;
  let x0 = job.column * job.width;
  var s0 = vec4<f32>(0.0);
  var s1 = vec4<f32>(0.0);
  var s2 = vec4<f32>(0.0);
  var s3 = vec4<f32>(0.0);
  if (job.columns == 1u) {
    for (var k = lane; k < job.width / 2u; k += LANES) {
      let low = inputs[x0 + 2u * k];
      let high = inputs[x0 + 2u * k + 1u];
      let a = load_eight(w0, k);
      let b = load_eight(w1, k);
      let c = load_eight(w2, k);
      let d = load_eight(w3, k);
      s0.x += dot(a.low, low) + dot(a.high, high);
      s1.x += dot(b.low, low) + dot(b.high, high);
      s2.x += dot(c.low, low) + dot(c.high, high);
      s3.x += dot(d.low, low) + dot(d.high, high);
    }
  } else {
    let x1 = x0 + min(1u, job.columns - 1u) * job.width;
    let x2 = x0 + min(2u, job.columns - 1u) * job.width;
    let x3 = x0 + min(3u, job.columns - 1u) * job.width;
    for (var k = lane; k < job.width / 2u; k += LANES) {
      let a = load_eight(w0, k);
      let b = load_eight(w1, k);
      let c = load_eight(w2, k);
      let d = load_eight(w3, k);
      let at = vec4<u32>(x0, x1, x2, x3) + vec4<u32>(2u * k);
      s0 += vec4<f32>(dot_eight(a, at.x), dot_eight(a, at.y), dot_eight(a, at.z), dot_eight(a, at.w));
      s1 += vec4<f32>(dot_eight(b, at.x), dot_eight(b, at.y), dot_eight(b, at.z), dot_eight(b, at.w));
      s2 += vec4<f32>(dot_eight(c, at.x), dot_eight(c, at.y), dot_eight(c, at.z), dot_eight(c, at.w));
      s3 += vec4<f32>(dot_eight(d, at.x), dot_eight(d, at.y), dot_eight(d, at.z), dot_eight(d, at.w));
    }
  }
  sums[lane][0] = s0;
  sums[lane][1] = s1;
  sums[lane][2] = s2;
  sums[lane][3] = s3;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      sums[lane][0] += sums[lane + half][0];
      sums[lane][1] += sums[lane + half][1];
      sums[lane][2] += sums[lane + half][2];
      sums[lane][3] += sums[lane + half][3];
    }
    workgroupBarrier();
  }
  let row = lane / 4u;
  let column = lane % 4u;
  if (row < ROWS && firstRow + row < job.rowCount && column < job.columns) {
    let y = sums[0][row][column];
    check(y);
    let place = memory[job.targets + job.column + column];
    memory[job.target_ + place + job.row + firstRow + row] = bitcast<u32>(y);
  }
}
