/** The `Range` header (RFC 9110, section 14), as a function of the header and the file's size. */
import type { ByteRange } from "../../runtime/repositories/repository.ts";

/** More ranges than a reader of tensors needs are answered with the whole file. */
const MAX_RANGES = 16;

/** A list longer than this is not looked at. */
const MAX_HEADER_LENGTH = 4096;

/**
 * Which bytes to send. `whole`: there is no range, or one that may be ignored; `unsatisfiable`: none of the ranges
 * lies in the file.
 */
export type RangeChoice =
  | { readonly kind: "whole" }
  | { readonly kind: "unsatisfiable" }
  /** In the order of the request, each of at least one byte, disjoint: together never more than the file. */
  | { readonly kind: "parts"; readonly parts: readonly ByteRange[] };

const WHOLE: RangeChoice = { kind: "whole" };

/**
 * Reads a `Range` header.
 *
 * What breaks the grammar, is of another unit, overlaps, or has more than 16 ranges is ignored, as the RFC allows, and so
 * is any range of an empty file: then the whole file is the answer.
 *
 * @param header  null where the request has none
 * @param size    bytes of the file
 */
export function chooseRanges(header: string | null, size: number): RangeChoice {
  // No range lies in an empty file, and clients that probe with the first byte take a refusal for a broken server.
  if (size === 0) return WHOLE;
  if (header === null || header.length > MAX_HEADER_LENGTH) return WHOLE;
  const list = /^bytes=(.*)$/i.exec(header.trim())?.[1];
  if (list === undefined) return WHOLE;
  const specifiers = list.split(",").map((text) => text.replace(/^[ \t]+|[ \t]+$/g, "")).filter((text) => text !== "");
  if (specifiers.length === 0 || specifiers.length > MAX_RANGES) return WHOLE;

  const parts: ByteRange[] = [];
  for (const specifier of specifiers) {
    const match = /^([0-9]*)-([0-9]*)$/.exec(specifier);
    const range = match === null ? null : rangeOf(match[1]!, match[2]!, size);
    if (range === null) return WHOLE;
    if (range.start < range.end) parts.push(range);
  }
  if (parts.length === 0) return { kind: "unsatisfiable" };
  return overlap(parts) ? WHOLE : { kind: "parts", parts };
}

/** One range, clamped to the file; empty where it lies outside; null where it is none. */
function rangeOf(first: string, last: string, size: number): ByteRange | null {
  // A number too long to be exact is larger than any file all the same.
  if (first === "") return last === "" ? null : { start: Math.max(0, size - Number(last)), end: size };
  const start = Number(first);
  if (last === "") return { start, end: size };
  return Number(last) < start ? null : { start, end: Math.min(size, Number(last) + 1) };
}

function overlap(parts: readonly ByteRange[]): boolean {
  const sorted = parts.toSorted((a, b) => a.start - b.start);
  return sorted.some((part, i) => i > 0 && part.start < sorted[i - 1]!.end);
}
