// y[c, r] = Σ W[r, i]·x[c, i] for many columns c: a product of matrices, in tiles.
//
//   rows, targets   as in product_few; columns are those of `inputs` from `column` on, zeros behind the last
//
// A workgroup makes 64 rows × 64 columns from strips of 16 of i, kept where all of it can reach them; an invocation makes
// 4 × 4. A chain runs over 64 terms; its sums are added in order.

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

const SIDE = 64u;
const STRIP = 16u;
// [i, row] and [i, column]
var<workgroup> wTile: array<f32, 1024>;
var<workgroup> xTile: array<f32, 1024>;

fn put(at: u32, four: vec4<f32>) {
  wTile[at] = four.x;
  wTile[at + SIDE] = four.y;
  wTile[at + 2u * SIDE] = four.z;
  wTile[at + 3u * SIDE] = four.w;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let rowTiles = (job.rowCount + SIDE - 1u) / SIDE;
  let columnTiles = (job.columns + SIDE - 1u) / SIDE;
  let item = group.y * job.grid + group.x;
  if (item >= rowTiles * columnTiles) {
    return;
  }
  let firstRow = (item / columnTiles) * SIDE;
  let firstColumn = (item % columnTiles) * SIDE;
  let rows = 4u * (lane / 16u);
  let columns = 4u * (lane % 16u);
  // What this invocation loads: eight elements of one row (half of them do), four of one column.
  let wRow = job.first + min(firstRow + (lane / 2u) % SIDE, job.rowCount - 1u) * job.rowStride;
  let xColumn = (job.column + min(firstColumn + lane / 4u, job.columns - 1u)) * job.width;

  var total = array<vec4<f32>, 4>();
  var partial = array<vec4<f32>, 4>();
  let strips = (job.width * 4u + STRIP - 1u) / STRIP;
  for (var strip = 0u; strip < strips; strip++) {
    if (lane < 128u) {
      let k = 2u * strip + lane % 2u;
      var w = Eight(vec4<f32>(0.0), vec4<f32>(0.0));
      if (k < job.width / 2u) {
        w = load_eight(wRow, k);
      }
      let at = (lane % 2u) * 8u * SIDE + lane / 2u;
      put(at, w.low);
      put(at + 4u * SIDE, w.high);
    }
    let k = 4u * strip + lane % 4u;
    var x = vec4<f32>(0.0);
    if (k < job.width) {
      x = inputs[xColumn + k];
    }
    let at = (lane % 4u) * 4u * SIDE + lane / 4u;
    xTile[at] = x.x;
    xTile[at + SIDE] = x.y;
    xTile[at + 2u * SIDE] = x.z;
    xTile[at + 3u * SIDE] = x.w;
    workgroupBarrier();
    for (var i = 0u; i < STRIP; i++) {
      let w = i * SIDE + rows;
      let c = i * SIDE + columns;
      let xs = vec4<f32>(xTile[c], xTile[c + 1u], xTile[c + 2u], xTile[c + 3u]);
      partial[0] += wTile[w] * xs;
      partial[1] += wTile[w + 1u] * xs;
      partial[2] += wTile[w + 2u] * xs;
      partial[3] += wTile[w + 3u] * xs;
    }
    if (strip % 4u == 3u) {
      for (var r = 0u; r < 4u; r++) {
        total[r] += partial[r];
        partial[r] = vec4<f32>(0.0);
      }
    }
    workgroupBarrier();
  }
  for (var c = 0u; c < 4u; c++) {
    let column = firstColumn + columns + c;
    if (column < job.columns) {
      let place = job.target_ + memory[job.targets + job.column + column] + job.row;
      for (var r = 0u; r < 4u; r++) {
        let row = firstRow + rows + r;
        if (row < job.rowCount) {
          let y = total[r][c] + partial[r][c];
          check(y);
          memory[place + row] = bitcast<u32>(y);
        }
      }
    }
  }
}
