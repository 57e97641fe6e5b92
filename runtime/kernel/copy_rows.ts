/** Moving rows about in a kernel's memory: the same for every kernel that has its memory here. */
import type { CopyRowsJob } from "./kernel.ts";

/** See {@link CopyRowsJob}. */
export function copyRows(bytes: Uint8Array<ArrayBuffer>, job: CopyRowsJob): void {
  const { source, sourceStride, target, targetStride, rowCount, byteLength } = job;
  for (let row = 0; row < rowCount; row++) {
    const start = source + row * sourceStride;
    bytes.copyWithin(target + row * targetStride, start, start + byteLength);
  }
}
