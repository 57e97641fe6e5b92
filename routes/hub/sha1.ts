import { toHex } from "../../runtime/io/digest.ts";

/** SHA-1 of a text in hex: what names a thing in git, and guards nothing. */
export async function sha1Hex(text: string): Promise<string> {
  return toHex(new Uint8Array(await crypto.subtle.digest("SHA-1", new TextEncoder().encode(text))));
}
