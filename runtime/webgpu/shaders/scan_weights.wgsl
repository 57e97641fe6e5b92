// Raises the flag where a weight is not finite, or so small (below 2^-100, and not 0) that products may lose digits.
//
//   weights   wordCount words of elements

struct Job {
  wordCount: u32,
  grid: u32,
  stride: u32,
}
@group(0) @binding(3) var<uniform> job: Job;
@group(1) @binding(0) var<storage, read_write> weights: array<u32>;

fn unfit(code: u32) -> bool {
  let size = size_bits(bits_of(code));
  return size >= INFINITY || (size < LEAST && size != 0u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  for (var at = (group.y * job.grid + group.x) * 64u + lane; at < job.wordCount; at += job.stride) {
    let word = weights[at];
    if (dtype == F32) {
      if (unfit(word)) {
        raise();
      }
    } else if (unfit(word & 0xffffu) || unfit(word >> 16u)) {
      raise();
    }
  }
}
