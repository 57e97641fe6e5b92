import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { sha256Hex, toHex } from "../../../runtime/io/digest.ts";
import { startDigest } from "../../../runtime/web/sha256.ts";

Deno.test("startDigest: the host's SHA-256 for every length around a block, fed byte by byte", async () => {
  for (let length = 0; length <= 200; length++) {
    const bytes = Uint8Array.from({ length }, (_, index) => index * 37 + length);
    const digest = startDigest();
    for (const byte of bytes) digest.update(Uint8Array.of(byte));
    assertEquals(toHex(digest.finish()), await sha256Hex(bytes), `${length} bytes`);
  }
});

Deno.test("startDigest: any parts give the digest of the whole", async () => {
  const parts = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 });
  await fc.assert(fc.asyncProperty(parts, async (parts) => {
    const digest = startDigest();
    for (const part of parts) digest.update(part);
    assertEquals(toHex(digest.finish()), await sha256Hex(new Uint8Array(await new Blob(parts).arrayBuffer())));
  }));
});
