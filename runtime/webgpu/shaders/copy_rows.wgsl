// target[i, j] ← source[i, j], or 0 where there is no source.
//
//   source, target   rowCount rows of wordCount words, sourceStride and targetStride words apart

struct Job {
  source: u32,
  sourceStride: u32,
  target_: u32,
  targetStride: u32,
  rowCount: u32,
  wordCount: u32,
  grid: u32,
}
@group(0) @binding(3) var<uniform> job: Job;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * job.grid + group.x) * 64u + lane;
  if (index >= job.rowCount * job.wordCount) {
    return;
  }
  let row = index / job.wordCount;
  let column = index % job.wordCount;
  var word = 0u;
  if (job.source != NONE) {
    word = memory[job.source + row * job.sourceStride + column];
  }
  memory[job.target_ + row * job.targetStride + column] = word;
}
