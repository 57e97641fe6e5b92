import { type ErrorCode, EtherError } from "../error.ts";

/**
 * Decodes strict UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF, nothing cut short. A byte order mark
 * is kept as U+FEFF, so that a grammar which does not know it (JSON's) refuses it.
 *
 * @param origin  place of `bytes[0]` in the file, for the message
 * @throws {EtherError} `code` with the place of the first byte that cannot continue the text
 */
export function decodeUtf8(bytes: Uint8Array, code: ErrorCode, file: string, origin: number): string {
  const text = tryDecode(bytes, false);
  if (text !== undefined) return text;
  throw new EtherError(code, `not UTF-8 at byte ${origin + goodPrefixLength(bytes)}`, { file });
}

function tryDecode(bytes: Uint8Array, openEnded: boolean): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes, { stream: openEnded });
  } catch {
    return undefined;
  }
}

/** The longest prefix that can still become UTF-8, by bisection: a decoder says that it failed, never where. */
function goodPrefixLength(bytes: Uint8Array): number {
  let good = 0;
  let bad = bytes.byteLength + 1;
  while (bad - good > 1) {
    const middle = (good + bad) >>> 1;
    if (tryDecode(bytes.subarray(0, middle), true) === undefined) bad = middle;
    else good = middle;
  }
  return good;
}

/** Bytes that the first `end` UTF-16 units of well-formed text take in UTF-8. */
export function utf8Length(text: string, end: number): number {
  let length = 0;
  for (let i = 0; i < Math.min(end, text.length); i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) length += 1;
    else if (unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff)) length += 2; // a pair of units is four bytes
    else length += 3;
  }
  return length;
}
