/** A SHA-256 that is fed piece by piece; Web standards have only a one-shot one, so the host brings it. */
export interface RunningDigest {
  /** Takes more bytes. */
  update(bytes: Uint8Array<ArrayBufferLike>): void;
  /** The 32 bytes; ends the digest. */
  finish(): Uint8Array<ArrayBuffer>;
}

/** Starts a {@link RunningDigest}. */
export type StartDigest = () => RunningDigest;

/** Lower-case hex. */
export function toHex(bytes: Uint8Array): string {
  let hex = "";
  for (const byte of bytes) hex += byte.toString(16).padStart(2, "0");
  return hex;
}

/** SHA-256 of bytes that are in memory. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** {@link sha256} in hex. */
export async function sha256Hex(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return toHex(await sha256(bytes));
}
