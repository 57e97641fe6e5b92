// Activations as the products want them: f32 [columnCount, inCount] → [paddedCount, padded / 4] of vec4, zeros behind.
//
//   source   f32 in `memory`, inCount words a column
//   inputs   padded = inCount rounded up to 8; paddedCount columns, of which those from columnCount on are zero

struct Job {
  source: u32,
  columnCount: u32,
  inCount: u32,
  width: u32,
  paddedCount: u32,
  grid: u32,
}
@group(0) @binding(3) var<uniform> job: Job;
@group(1) @binding(0) var<storage, read_write> inputs: array<vec4<f32>>;

fn input_at(column: u32, e: u32) -> f32 {
  if (column < job.columnCount && e < job.inCount) {
    return f32_at(job.source + column * job.inCount + e);
  }
  return 0.0;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * job.grid + group.x) * 64u + lane;
  if (index >= job.paddedCount * job.width) {
    return;
  }
  let column = index / job.width;
  let e = (index % job.width) * 4u;
  inputs[index] = vec4<f32>(
    input_at(column, e),
    input_at(column, e + 1u),
    input_at(column, e + 2u),
    input_at(column, e + 3u),
  );
}
