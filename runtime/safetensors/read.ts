import type { ByteSource } from "../io/source.ts";
import { headerByteLength, LENGTH_PREFIX, parseHeader, type SafetensorsHeader } from "./header.ts";

/**
 * Reads the header of a file in two reads: its length, then all of it once the length is known to be possible.
 *
 * @throws {EtherError} `bad_header` if the header breaks the format, `io_error` if the storage fails
 */
export async function readHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const start = new Uint8Array(Math.min(LENGTH_PREFIX, source.size));
  await source.read(0, start);
  const bytes = new Uint8Array(headerByteLength(start, source.size, source.name));
  await source.read(0, bytes);
  return parseHeader(bytes, source.size, source.name);
}
