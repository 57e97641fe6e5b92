/** Sizes and rates as people read and write them. */
import { EtherError } from "../runtime/error.ts";

const UNITS: Readonly<Record<string, number>> = { "": 1, K: 1 << 10, M: 1 << 20, G: 1 << 30 };

/** `512M` → bytes; K, M and G are powers of 1024. @throws {EtherError} `usage` */
export function parseSize(text: string, flag: string): number {
  const match = /^(\d{1,15})([KMG]?)$/i.exec(text);
  const bytes = match === null ? NaN : Number(match[1]) * UNITS[match[2]!.toUpperCase()]!;
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new EtherError("usage", `${JSON.stringify(text)} is not a size`, { field: flag, hint: "such as 64M" });
}

/** Bytes as `3.6 MB`, powers of 1000. */
export function formatBytes(bytes: number): string {
  const names = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < names.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? value.toFixed(0) : value.toFixed(1)} ${names[unit]}`;
}

/** Seconds as `0.84 s` or `3 min 20 s`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 99.5) return `${seconds.toFixed(0)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** `1 tensor`, `1,807,680 tensors`. */
export function formatCounted(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** 1807680 → `1,807,680`. */
export function formatCount(count: number): string {
  return count.toLocaleString("en-US");
}
