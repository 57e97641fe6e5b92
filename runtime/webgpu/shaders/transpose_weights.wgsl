// W[o, i] ← the file's matrix [in, out] of a Conv1D, some rows i of it at a time: resident weights are [out, in].
//
//   memory    elements of rows [start, start + rowCount) of the file's matrix, outCount elements a row
//   target_   rows of rowWords words, of output `firstOut` and the following
//
// One invocation for each word: start and rowCount are even, or rowCount reaches the last row.

struct Job {
  start: u32,
  rowCount: u32,
  outCount: u32,
  firstOut: u32,
  outRows: u32,
  rowWords: u32,
  grid: u32,
}
@group(0) @binding(3) var<uniform> job: Job;
@group(1) @binding(0) var<storage, read_write> weights: array<u32>;

fn code_at(row: u32, out: u32) -> u32 {
  if (row >= job.rowCount) {
    return 0u;
  }
  return load_code(row * job.outCount + out);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * job.grid + group.x) * 64u + lane;
  let out = index % job.outRows;
  let pair = index / job.outRows;
  if (dtype == F32) {
    if (pair < job.rowCount) {
      weights[out * job.rowWords + job.start + pair] = code_at(pair, job.firstOut + out);
    }
    return;
  }
  if (2u * pair < job.rowCount) {
    let low = code_at(2u * pair, job.firstOut + out);
    let high = code_at(2u * pair + 1u, job.firstOut + out);
    weights[out * job.rowWords + job.start / 2u + pair] = low | (high << 16u);
  }
}
