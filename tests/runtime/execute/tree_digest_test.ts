import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { startDigest } from "../../../runtime/deno/digest.ts";
import { PIECE_BYTES, PieceDigests, treeDigest } from "../../../runtime/execute/tree_digest.ts";
import { sha256Hex, toHex } from "../../../runtime/io/digest.ts";

/** SHA-256 of each MiB, then of the digests end to end, by the one-shot digest of the Web. */
async function straightforward(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digests: number[] = [];
  for (let start = 0; start < bytes.byteLength; start += 1_048_576) {
    const piece = bytes.slice(start, start + 1_048_576);
    digests.push(...new Uint8Array(await crypto.subtle.digest("SHA-256", piece)));
  }
  return `sha256-tree1m:${await sha256Hex(Uint8Array.from(digests))}`;
}

function someBytes(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => (i * 2654435761) >>> 13);
}

const LENGTHS = [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 17];

for (const length of LENGTHS) {
  Deno.test(`treeDigest of ${length} bytes: what a straightforward one gives, fed in any parts by any shares`, async () => {
    const bytes = someBytes(length);
    const expected = await straightforward(bytes);
    const parts = fc.array(fc.integer({ min: 1, max: 1_500_000 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(parts, fc.integer({ min: 1, max: 4 }), (sizes, piecesPerShare) => {
        const shares: Uint8Array[] = [];
        for (let start = 0; start < length || start === 0; start += piecesPerShare * PIECE_BYTES) {
          const share = bytes.subarray(start, start + piecesPerShare * PIECE_BYTES);
          const digests = new PieceDigests(startDigest);
          for (let at = 0, i = 0; at < share.byteLength; i++) {
            const size = sizes[i % sizes.length]!;
            digests.update(share.subarray(at, at + size));
            at += size;
          }
          shares.push(digests.finish());
        }
        assertEquals(treeDigest(startDigest, shares), expected);
      }),
      { numRuns: 10 },
    );
  });
}

Deno.test("treeDigest: any flipped bit and any swapped pieces change it", async () => {
  const bytes = someBytes(2 * PIECE_BYTES + 5);
  const digest = (content: Uint8Array<ArrayBuffer>) => {
    const pieces = new PieceDigests(startDigest);
    pieces.update(content);
    return treeDigest(startDigest, [pieces.finish()]);
  };
  const whole = digest(bytes);
  assertEquals(whole, await straightforward(bytes));
  const seen = new Set([whole]);
  for (const at of [0, PIECE_BYTES - 1, PIECE_BYTES, 2 * PIECE_BYTES + 4]) {
    const flipped = bytes.slice();
    flipped[at]! ^= 1;
    seen.add(digest(flipped));
  }
  const swapped = new Uint8Array(bytes.byteLength);
  swapped.set(bytes.subarray(PIECE_BYTES, 2 * PIECE_BYTES));
  swapped.set(bytes.subarray(0, PIECE_BYTES), PIECE_BYTES);
  swapped.set(bytes.subarray(2 * PIECE_BYTES), 2 * PIECE_BYTES);
  seen.add(digest(swapped));
  assertEquals(seen.size, 6);
});

Deno.test("toHex: two lower-case digits for each byte", () => {
  assertEquals(toHex(Uint8Array.of(0, 10, 171, 255)), "000aabff");
});
