/**
 * SHA-256 (FIPS 180-4) that is fed piece by piece, for hosts that bring none: Web standards only have a one-shot one.
 * Where there is `node:crypto`, that is many times as fast.
 */
import type { RunningDigest } from "../io/digest.ts";

const BLOCK_BYTES = 64;

/** The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
const K = Uint32Array.of(
  ...[0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5],
  ...[0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174],
  ...[0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da],
  ...[0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967],
  ...[0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85],
  ...[0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070],
  ...[0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3],
  ...[0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2],
);

/** The same of the square roots of the first eight: where a digest begins. */
const INITIAL = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

/** Starts a digest. */
export function startDigest(): RunningDigest {
  return new Sha256();
}

class Sha256 implements RunningDigest {
  readonly #state = Uint32Array.from(INITIAL);
  /** The block that is not full yet. */
  readonly #rest = new Uint8Array(BLOCK_BYTES);
  readonly #words = new Uint32Array(64);
  #byteLength = 0;

  update(bytes: Uint8Array<ArrayBufferLike>): void {
    let filled = this.#byteLength % BLOCK_BYTES;
    this.#byteLength += bytes.byteLength;
    for (let at = 0; at < bytes.byteLength;) {
      if (filled === 0 && bytes.byteLength - at >= BLOCK_BYTES) {
        this.#compress(bytes, at);
        at += BLOCK_BYTES;
        continue;
      }
      const part = bytes.subarray(at, at + BLOCK_BYTES - filled);
      this.#rest.set(part, filled);
      at += part.byteLength;
      filled = (filled + part.byteLength) % BLOCK_BYTES;
      if (filled === 0) this.#compress(this.#rest, 0);
    }
  }

  finish(): Uint8Array<ArrayBuffer> {
    const byteLength = this.#byteLength;
    const filled = byteLength % BLOCK_BYTES;
    // A one bit, zeros, and the length in bits as 64 of them.
    const end = new Uint8Array((filled < 56 ? 1 : 2) * BLOCK_BYTES - filled);
    end[0] = 0x80;
    new DataView(end.buffer).setBigUint64(end.byteLength - 8, BigInt(byteLength) * 8n);
    this.update(end);
    const result = new Uint8Array(32);
    const view = new DataView(result.buffer);
    this.#state.forEach((word, index) => view.setUint32(4 * index, word));
    return result;
  }

  /** One block, from `offset`. */
  #compress(bytes: Uint8Array, offset: number): void {
    const w = this.#words;
    const state = this.#state;
    for (let t = 0; t < 16; t++) {
      const at = offset + 4 * t;
      w[t] = bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!;
    }
    for (let t = 16; t < 64; t++) {
      const x = w[t - 15]!;
      const y = w[t - 2]!;
      const s0 = rotate(x, 7) ^ rotate(x, 18) ^ x >>> 3;
      const s1 = rotate(y, 17) ^ rotate(y, 19) ^ y >>> 10;
      w[t] = w[t - 16]! + s0 + w[t - 7]! + s1;
    }
    let [a, b, c, d, e, f, g, h] = state as unknown as number[] as [
      ...[number, number, number, number, number, number, number, number],
    ];
    for (let t = 0; t < 64; t++) {
      const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
      const t1 = h + s1 + (e & f ^ ~e & g) + K[t]! + w[t]! | 0;
      const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
      const t2 = s0 + (a & b ^ a & c ^ b & c) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, d + t1 | 0, c, b, a, t1 + t2 | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((word, index) => state[index] = state[index]! + word);
  }
}

function rotate(word: number, count: number): number {
  return word >>> count | word << 32 - count;
}
