/**
 * `sha256-tree1m`: SHA-256 of each 1 MiB piece of a file, the last one short, then SHA-256 of these digests end to end.
 *
 * Pieces are counted from the file's byte 0, so that a worker whose share is whole pieces takes its digests while the
 * bytes are hot, and nobody reads the file again.
 */
import { type RunningDigest, type StartDigest, toHex } from "../io/digest.ts";

/** Bytes of a piece. */
export const PIECE_BYTES: number = 1 << 20;

/** The algorithm's name in a manifest. */
export const TREE_ALGORITHM = "sha256-tree1m";

/** Digests the pieces of a share, fed in order from its first byte, which begins a piece. */
export class PieceDigests {
  readonly #startDigest: StartDigest;
  readonly #digests: Uint8Array[] = [];
  #current: RunningDigest | null = null;
  #room = 0;

  constructor(startDigest: StartDigest) {
    this.#startDigest = startDigest;
  }

  update(bytes: Uint8Array<ArrayBufferLike>): void {
    for (let start = 0; start < bytes.byteLength;) {
      if (this.#current === null) {
        this.#current = this.#startDigest();
        this.#room = PIECE_BYTES;
      }
      const part = bytes.subarray(start, start + this.#room);
      this.#current.update(part);
      this.#room -= part.byteLength;
      start += part.byteLength;
      if (this.#room === 0) this.#endPiece();
    }
  }

  /** 32 bytes for each piece, end to end. */
  finish(): Uint8Array<ArrayBuffer> {
    if (this.#current !== null) this.#endPiece();
    const all = new Uint8Array(this.#digests.length * 32);
    for (const [i, digest] of this.#digests.entries()) all.set(digest, i * 32);
    return all;
  }

  #endPiece(): void {
    this.#digests.push(this.#current!.finish());
    this.#current = null;
  }
}

/** The tree digest of a file from its pieces' digests, in order. */
export function treeDigest(startDigest: StartDigest, pieces: readonly Uint8Array[]): string {
  const digest = startDigest();
  for (const piece of pieces) digest.update(piece);
  return `${TREE_ALGORITHM}:${toHex(digest.finish())}`;
}
