/**
 * ETHER and ETHER+ on a stored matrix: W ← (I − αp̂p̂ᵀ + βq̂q̂ᵀ)·W·(I − αûûᵀ + βv̂v̂ᵀ), block by block.
 *
 * Along the rows it is row-local. Down the rows it needs s = p̂ᵀW over each group of rows first; and because
 * p̂ᵀ(W·H) = (p̂ᵀW)·H, both sides together still need one reduction of the *original* rows and one rounding.
 */
import { vectorByteLength } from "../../kernel/kernel.ts";
import type { Address, Kernel, LeftUpdate, RightReflection } from "../../kernel/kernel.ts";
import { elementByteLength, type FloatDtype } from "../../safetensors/dtype.ts";
import { roomFor } from "../arena.ts";
import type { Op, Region, TensorRef, TileRows } from "../op.ts";
import type { Workshop } from "../workshop.ts";
import { type AlongPiece, alongPieces, type DownPiece, downPieces } from "./blocks.ts";
import { toInverseVectors } from "./inverse.ts";
import type { Blocks, ReflectionSpec } from "./spec.ts";
import { toUnitVectors } from "./unit.ts";

/** Bytes that a prepared reflection takes of a kernel's memory, at most; an inverse while it is made. */
export function reflectionByteLength({ columnCount }: Region, along: Blocks | null, down: Blocks | null): number {
  const bothVectors = ({ numBlocks, v }: Blocks, stride: number) => roomFor(numBlocks * stride) * (v === null ? 1 : 2);
  const alongBytes = along === null ? 0 : bothVectors(along, vectorByteLength(along.blockLength));
  if (down === null) return alongBytes;
  const paddedRow = vectorByteLength(columnCount) + 32 * ((along ?? down).numBlocks + 1);
  return alongBytes + bothVectors(down, 4 * down.blockLength) + roomFor(16 * columnCount) + roomFor(2 * paddedRow) +
    roomFor(2 * vectorByteLength(columnCount));
}

/** Unit vectors of one side in a kernel's memory. */
interface SideState {
  readonly blocks: Blocks;
  readonly u: Address;
  /** 0 for ETHER. */
  readonly v: Address;
  /** Bytes from one block's vector to the next one's. */
  readonly stride: number;
}

/** A group's sums, as the kernel's update wants them. */
interface PreparedGroup {
  readonly group: number;
  readonly sketch: Float64Array;
  /** For each of the group's column pieces: do all sums fit f32? */
  readonly exact: readonly boolean[];
}

/** Reads an Op's vectors and writes them, normalised, into the workshop's kernel for tiles of `dtype`. */
export async function prepareReflection(spec: ReflectionSpec, shop: Workshop, dtype: FloatDtype): Promise<Op> {
  const along = spec.along === null ? null : await placeAlong(spec, spec.along, shop, dtype);
  const down = spec.down === null ? null : await placeDown(spec, spec.down, shop);
  return new ReflectionOp(spec, shop, dtype, along, down);
}

/** Vectors along a row are read lane by lane with the tile: the kernel orders and pads them. */
async function placeAlong(
  spec: ReflectionSpec,
  blocks: Blocks,
  shop: Workshop,
  dtype: FloatDtype,
): Promise<SideState> {
  const stride = vectorByteLength(blocks.blockLength);
  const place = (address: Address, values: Float32Array) =>
    shop.kernel.writeVectors(dtype, address, values, blocks.blockLength);
  return await placeVectors(spec, blocks, stride, shop, place);
}

/** Vectors down the rows are one coefficient a row: plain f32. */
async function placeDown(spec: ReflectionSpec, blocks: Blocks, shop: Workshop): Promise<SideState> {
  const place = (address: Address, values: Float32Array) =>
    new Float32Array(shop.kernel.bytes.buffer, address, values.length).set(values);
  return await placeVectors(spec, blocks, blocks.blockLength * 4, shop, place);
}

async function placeVectors(
  spec: ReflectionSpec,
  blocks: Blocks,
  stride: number,
  { kernel, arena, reader }: Workshop,
  place: (address: Address, values: Float32Array) => void,
): Promise<SideState> {
  const { numBlocks, blockLength } = blocks;
  const unitVectors = async (ref: TensorRef) => {
    const values = await reader.read(ref);
    toUnitVectors(values, blockLength);
    return values;
  };
  const u = arena.take(numBlocks * stride);
  if (blocks.v === null) {
    place(u, await unitVectors(blocks.u));
    return { blocks, stride, u, v: 0 };
  }
  const v = arena.take(numBlocks * stride);
  if (spec.inverse === undefined) {
    place(u, await unitVectors(blocks.u));
    place(v, await unitVectors(blocks.v));
    return { blocks, stride, u, v };
  }
  // Both are needed at once, and the reader has room for one.
  const mark = arena.mark();
  const room = arena.take(numBlocks * blockLength * 4);
  const uValues = new Float32Array(kernel.bytes.buffer, room, numBlocks * blockLength);
  uValues.set(await unitVectors(blocks.u));
  const vValues = await unitVectors(blocks.v);
  toInverseVectors(uValues, vValues, blockLength, spec);
  place(u, uValues);
  place(v, vValues);
  arena.release(mark);
  return { blocks, stride, u, v };
}

class ReflectionOp implements Op {
  readonly spec: ReflectionSpec;

  readonly #kernel: Kernel;
  readonly #dtype: FloatDtype;
  readonly #along: SideState | null;
  readonly #down: SideState | null;
  /** f64 `[sketchLength]`, then the same in f32 chunks; and the reduction's accumulators. */
  readonly #sums64: Address = 0;
  readonly #sums32: Address = 0;
  readonly #scratch: Address = 0;
  #prepared: PreparedGroup | null = null;

  constructor(
    spec: ReflectionSpec,
    { kernel, arena }: Workshop,
    dtype: FloatDtype,
    along: SideState | null,
    down: SideState | null,
  ) {
    this.#kernel = kernel;
    this.#dtype = dtype;
    this.spec = spec;
    this.#along = along;
    this.#down = down;
    if (down !== null) {
      this.#sums64 = arena.take(spec.sketchLength * 8);
      this.#sums32 = arena.take(2 * this.#paddedRowByteLength());
      this.#scratch = arena.take(2 * vectorByteLength(spec.region.columnCount));
    }
  }

  reduce(rows: TileRows, sums: Address): void {
    const down = this.#down!;
    const group = Math.floor(rows.firstRow / this.spec.groupRows);
    for (const piece of downPieces(down.blocks, this.spec.region.columnCount, group)) {
      const { p, q } = this.#coefficients(piece.block, rows.firstRow - group * this.spec.groupRows);
      const pSums = sums + piece.column * 8;
      this.#kernel.reduceRows({
        dtype: rows.dtype,
        tile: rows.address + piece.column * elementByteLength(rows.dtype),
        rowCount: rows.rowCount,
        rowStride: rows.rowStride,
        columnCount: piece.columnCount,
        p,
        q,
        pSums,
        qSums: q === 0 ? 0 : pSums + this.spec.region.columnCount * 8,
        scratch: this.#scratch,
      });
    }
  }

  transform(rows: TileRows, sketch: Float64Array | null): void {
    const { columnCount, rowCount: regionRows } = this.spec.region;
    const group = Math.floor(rows.firstRow / this.spec.groupRows);
    const exact = sketch === null ? [] : this.#prepare(group, sketch);
    const downs = this.#down === null
      ? [{ column: 0, columnCount, block: 0, index: 0 }]
      : downPieces(this.#down.blocks, columnCount, group);
    const alongs: Iterable<AlongPiece | null> = this.#along === null
      ? [null]
      : alongPieces(this.#along.blocks, regionRows, rows.firstRow, rows.rowCount, rows.same);
    for (const along of alongs) {
      for (const down of downs) this.#transformPiece(rows, group, along, down, exact[down.index] ?? false);
    }
  }

  #transformPiece(rows: TileRows, group: number, along: AlongPiece | null, down: DownPiece, exact: boolean): void {
    const row = along?.row ?? rows.firstRow;
    const chunkLength = along === null ? down.columnCount : this.#along!.blocks.blockLength;
    // Where blocks act both ways a column piece is whole chunks; an along piece that is not whole rows stands alone.
    const firstChunk = along === null ? 0 : this.#down === null ? along.chunk : down.column / chunkLength;
    const column = this.#down === null ? firstChunk * chunkLength : down.column;
    this.#kernel.transformRows({
      dtype: rows.dtype,
      tile: rows.address + (row - rows.firstRow) * rows.rowStride + column * elementByteLength(rows.dtype),
      rowCount: along?.rowCount ?? rows.rowCount,
      rowStride: rows.rowStride,
      chunkCount: along === null ? 1 : this.#down === null ? along.chunkCount : down.columnCount / chunkLength,
      chunkLength,
      right: along === null ? null : this.#right(along, firstChunk),
      left: this.#down === null ? null : this.#left(down, row - group * this.spec.groupRows, chunkLength, exact),
    });
  }

  #right(piece: AlongPiece, chunk: number): RightReflection {
    const { u, v, stride } = this.#along!;
    const offset = (piece.block + (chunk - piece.chunk) * piece.blockStep) * stride;
    const { alpha, beta } = this.spec;
    return { u: u + offset, v: v === 0 ? 0 : v + offset, vectorStride: piece.blockStep * stride, alpha, beta };
  }

  #left(piece: DownPiece, rowOfGroup: number, chunkLength: number, exact: boolean): LeftUpdate {
    const { p, q } = this.#coefficients(piece.block, rowOfGroup);
    const s = this.#sums32 + this.#sumsOffset(piece, chunkLength);
    const s64 = this.#sums64 + piece.column * 8;
    if (q === 0) return { p, q, s, t: 0, s64, t64: 0, exact };
    return { p, q, s, t: s + this.#paddedRowByteLength(), s64, t64: s64 + this.spec.region.columnCount * 8, exact };
  }

  /** Where the coefficients of a block's rows stand, from one row on. */
  #coefficients(block: number, rowOfGroup: number): { p: Address; q: Address } {
    const { u, v, stride } = this.#down!;
    const offset = block * stride + rowOfGroup * 4;
    return { p: u + offset, q: v === 0 ? 0 : v + offset };
  }

  /** s ← α·(p̂ᵀW)·H and t ← β·(q̂ᵀW)·H of one group, in both widths; kept until another group comes. */
  #prepare(group: number, sketch: Float64Array): readonly boolean[] {
    if (this.#prepared?.group === group && this.#prepared.sketch === sketch) return this.#prepared.exact;
    const { columnCount, rowCount: regionRows } = this.spec.region;
    new Float64Array(this.#kernel.bytes.buffer, this.#sums64, sketch.length).set(sketch);
    const exact = downPieces(this.#down!.blocks, columnCount, group).map((piece) => {
      const chunkLength = this.#along?.blocks.blockLength ?? piece.columnCount;
      const along = this.#along === null
        ? null
        : alongPieces(this.#along.blocks, regionRows, group * this.spec.groupRows, this.spec.groupRows).next().value!;
      const left = this.#left(piece, 0, chunkLength, false);
      const job = {
        dtype: this.#dtype,
        chunkCount: piece.columnCount / chunkLength,
        chunkLength,
        right: along === null ? null : this.#right(along, piece.column / chunkLength),
      };
      const { alpha, beta } = this.spec;
      const sWide = this.#kernel.prepareSums({ ...job, sums: left.s64, scale: alpha, target: left.s });
      if (left.q === 0) return sWide;
      return this.#kernel.prepareSums({ ...job, sums: left.t64, scale: beta, target: left.t }) || sWide;
    });
    this.#prepared = { group, sketch, exact };
    return exact;
  }

  /** Where a piece's sums stand in a row of sums: chunk by chunk, or, without chunks, each piece padded for itself. */
  #sumsOffset(piece: DownPiece, chunkLength: number): number {
    if (this.#along !== null) return (piece.column / chunkLength) * vectorByteLength(chunkLength);
    return vectorByteLength(piece.column) + piece.index * 32;
  }

  /** Room for one row of sums in that order. A flat map has at most one piece more than blocks. */
  #paddedRowByteLength(): number {
    if (this.#along !== null) return this.#along.blocks.numBlocks * vectorByteLength(this.#along.blocks.blockLength);
    return vectorByteLength(this.spec.region.columnCount) + (this.#down!.blocks.numBlocks + 1) * 32;
  }
}
