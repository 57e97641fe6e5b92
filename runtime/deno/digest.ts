import type { RunningDigest } from "../io/digest.ts";

/**
 * SHA-256 by the host's OpenSSL, which uses the processor's instructions for it. `node:crypto` takes longer to load than
 * a server takes to start: who never digests never waits for it.
 */
export function startDigest(): RunningDigest {
  const { createHash } = process.getBuiltinModule("node:crypto");
  const hash = createHash("sha256");
  return {
    update: (bytes) => void hash.update(bytes),
    finish: () => new Uint8Array(hash.digest()),
  };
}
