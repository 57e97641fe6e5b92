/** Bytes `[start, end)` of a file of `size`. */
export interface ContentRange {
  readonly start: number;
  readonly end: number;
  readonly size: number;
}

/** `bytes a-b/size` → its numbers; null for anything else, also for an unknown size. */
export function parseContentRange(value: string | null): ContentRange | null {
  const match = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16})$/.exec(value ?? "");
  if (match === null) return null;
  const [start, last, size] = match.slice(1).map(Number) as [number, number, number];
  if (!Number.isSafeInteger(size) || start > last || last >= size) return null;
  return { start, end: last + 1, size };
}
