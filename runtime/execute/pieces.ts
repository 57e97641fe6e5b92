/** A file cut into pieces that a stream gives away one by one: borders lie where they cost nothing. */
import type { PlannedFile, TensorSpan } from "../plans/plan.ts";
import { elementByteLength } from "../safetensors/dtype.ts";
import { tileEnd, wholeGroups } from "./tiles.ts";

/** What a piece has at most, unless a tile, or a row or group that is computed as one, is larger. */
export const PIECE_BYTES: number = 256 << 10;

/** What a piece never exceeds: of a larger group some rows are computed again. */
const LARGEST_PIECE_BYTES = 8 << 20;

/** Index of the span that holds a byte. */
export function firstSpanAt(file: PlannedFile, offset: number): number {
  let low = 0;
  let high = file.spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const span = file.spans[middle]!;
    if (span.offset + span.byteLength <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** About the most that a piece of a file may have. */
export function largestPiece({ size, spans }: PlannedFile, tileByteLength: number): number {
  let largest = Math.max(PIECE_BYTES, tileByteLength);
  for (const span of spans) {
    if (span.kind === "tensor") largest = Math.max(largest, tensorPieceEnd(span, 0, 0, tileByteLength));
  }
  return Math.min(largest, LARGEST_PIECE_BYTES, size);
}

/** The byte after the piece that begins at `start` and lies before `end`. */
export function pieceEnd(file: PlannedFile, start: number, end: number, tileByteLength: number): number {
  const pieceByteLength = Math.max(PIECE_BYTES, tileByteLength);
  let at = start;
  for (let index = firstSpanAt(file, start); at < end && at - start < pieceByteLength; index++) {
    const span = file.spans[index]!;
    const spanEnd = Math.min(end, span.offset + span.byteLength);
    if (span.kind === "tensor") {
      const next = span.offset + tensorPieceEnd(span, at - span.offset, pieceByteLength - (at - start), tileByteLength);
      // The tile that begins the next tensor is too large for what is left of the piece.
      if (at > start && next - start > pieceByteLength) break;
      at = Math.min(spanEnd, next, start + LARGEST_PIECE_BYTES);
    } else {
      at = Math.min(spanEnd, start + pieceByteLength);
    }
    if (at < spanEnd) break;
  }
  return at;
}

/** Where tiles from byte `from` of a tensor on end that fit in `room` bytes; at least one. */
function tensorPieceEnd(span: TensorSpan, from: number, room: number, tileByteLength: number): number {
  const rowByteLength = span.columnCount * elementByteLength(span.dtype);
  let row = Math.floor(from / rowByteLength);
  let end = from;
  while (row < span.rowCount) {
    const rows = { start: row, count: Math.min(span.rowCount, tileEnd(span, tileByteLength, row)) - row };
    const tile = wholeGroups(span, rows, span.stages.length);
    row = tile.start + tile.count;
    if (end > from && row * rowByteLength - from > room) break;
    end = row * rowByteLength;
  }
  return end;
}
