/** Sizes as people write them. */
import { EtherError } from "../error.ts";

const UNITS: Readonly<Record<string, number>> = { "": 1, K: 1 << 10, M: 1 << 20, G: 1 << 30 };

/**
 * `512M` → bytes; K, M and G are powers of 1024.
 *
 * @param field  flag or variable that holds it
 * @throws {EtherError} `usage`
 */
export function parseSize(text: string, field: string): number {
  const match = /^(\d{1,15})([KMG]?)$/i.exec(text);
  const bytes = match === null ? NaN : Number(match[1]) * UNITS[match[2]!.toUpperCase()]!;
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new EtherError("usage", `${JSON.stringify(text)} is not a size`, { field, hint: "such as 64M" });
}
