/** Digests of what is not in memory. */
import type { RunningDigest, StartDigest } from "./digest.ts";
import type { ByteSource } from "./source.ts";

/** Feeds a whole source to a digest, a megabyte at a time. */
export async function digestSource(source: ByteSource, digest: RunningDigest): Promise<void> {
  const buffer = new Uint8Array(Math.min(source.size, 1 << 20));
  for (let offset = 0; offset < source.size; offset += buffer.byteLength) {
    const part = buffer.subarray(0, Math.min(buffer.byteLength, source.size - offset));
    await source.read(offset, part);
    digest.update(part);
  }
}

/** The 32 bytes of the digest of what `feed` gives it. */
export async function digestOf(
  startDigest: StartDigest,
  feed: (digest: RunningDigest) => void | Promise<void>,
): Promise<Uint8Array<ArrayBuffer>> {
  const digest = startDigest();
  await feed(digest);
  return digest.finish();
}
