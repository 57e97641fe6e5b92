/** CRC-32 as zip has it: polynomial 0x04C11DB7, bits reversed. */

/** Four tables, so that four bytes take one step: `TABLES[k][b]` is byte b followed by k zero bytes. */
const TABLES = makeTables();

/**
 * Continues a CRC-32.
 *
 * @param crc  the CRC of what came before. @default 0, of nothing
 */
export function crc32(bytes: Uint8Array, crc = 0): number {
  const [t0, t1, t2, t3] = TABLES as unknown as readonly [Uint32Array, Uint32Array, Uint32Array, Uint32Array];
  let state = ~crc;
  let i = 0;
  for (; i + 4 <= bytes.length; i += 4) {
    state ^= bytes[i]! | bytes[i + 1]! << 8 | bytes[i + 2]! << 16 | bytes[i + 3]! << 24;
    state = t3[state & 255]! ^ t2[state >>> 8 & 255]! ^ t1[state >>> 16 & 255]! ^ t0[state >>> 24]!;
  }
  for (; i < bytes.length; i++) state = t0[(state ^ bytes[i]!) & 255]! ^ state >>> 8;
  return ~state >>> 0;
}

function makeTables(): readonly Uint32Array[] {
  const first = Uint32Array.from({ length: 256 }, (_, byte) => {
    let state = byte;
    for (let bit = 0; bit < 8; bit++) state = state & 1 ? state >>> 1 ^ 0xedb88320 : state >>> 1;
    return state;
  });
  const tables = [first];
  for (let k = 1; k < 4; k++) {
    const previous = tables[k - 1]!;
    tables.push(previous.map((state) => first[state & 255]! ^ state >>> 8));
  }
  return tables;
}
