// What the bench measures the kernel against, in the same module and the same memory.

/** The speed of memory. */
export function copyBytes(target: usize, source: usize, byteLength: usize): void {
  memory.copy(target, source, byteLength);
}

/** Right ETHER on BF16 as a plain loop: a kernel that is not well ahead of it has lost its SIMD. */
export function scalarRowsBF16(
  tile: usize, rowCount: usize, rowStride: usize, chunkCount: usize, n: usize, u: usize, alpha: f32,
): void {
  for (let row: usize = 0; row < rowCount; ++row) {
    for (let chunk: usize = 0; chunk < chunkCount; ++chunk) {
      const w = tile + row * rowStride + chunk * n * 2;
      let sum: f32 = 0;
      for (let e: usize = 0; e < n; ++e) sum += widen(w + 2 * e) * load<f32>(u + 4 * e);
      sum *= alpha;
      for (let e: usize = 0; e < n; ++e) {
        const bits = reinterpret<u32>(widen(w + 2 * e) - sum * load<f32>(u + 4 * e));
        store<u16>(w + 2 * e, (bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
      }
    }
  }
}

@inline function widen(address: usize): f32 {
  return reinterpret<f32>(<u32>load<u16>(address) << 16);
}
