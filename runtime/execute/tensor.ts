/**
 * One tensor on its way through the Ops: read some whole rows, run every stage on them in place, round once.
 *
 * A single stage whose Ops take the tensor's own dtype works on the bytes as read; otherwise the tile is decoded to f32
 * first and encoded last. Both give the same bytes.
 */
import { EventTurns } from "../apply/event_turns.ts";
import type { ByteSource } from "../io/source.ts";
import type { Address } from "../kernel/kernel.ts";
import type { Op, OpSpec, RowRun } from "../methods/op.ts";
import { methodOfOp } from "../methods/registry.ts";
import type { Workshop } from "../methods/workshop.ts";
import type { TensorSpan } from "../plans/plan.ts";
import { elementByteLength, type FloatDtype } from "../safetensors/dtype.ts";
import { groupSpans, regionRuns, segmentRows, storedRuns } from "./segments.ts";
import type { SketchStore } from "./sketch_store.ts";
import { SketchCache, type SketchKey, sketchKey } from "./sketches.ts";
import { tileEnd, tileRows, wholeGroups, worksInPlace } from "./tiles.ts";

/** Where one tensor's sketches may stay while its rows go by. */
const SKETCH_CACHE_BYTES = 1 << 20;

/** Some rows of a tensor in the kernel's memory. */
interface Tile {
  readonly rows: RowRun;
  /** As read; the output's bytes in the end. */
  readonly raw: Address;
  /** As the Ops see it; equal to `raw` where nothing is decoded. */
  readonly work: Address;
}

/** Gives each finished piece of the output away: bytes that belong at `offset` in the tensor's output. */
export type EmitBytes = (offset: number, bytes: Uint8Array<ArrayBufferLike>) => void | Promise<void>;

/** Sketches that others have made, or may use. */
export interface SharedSketches {
  readonly store: SketchStore;
  /** Names what the tensor is made of: its file, the adapters, and its place in the file. */
  readonly prefix: string;
}

/** A tensor with its Ops prepared in a kernel. */
export class TensorTransform {
  /** Finite values that a cast has made infinite. */
  overflowCount = 0;

  readonly #span: TensorSpan;
  #source: ByteSource;
  readonly #shop: Workshop;
  readonly #stages: readonly (readonly Op[])[];
  readonly #inPlace: boolean;
  /** The dtype that tiles have while the Ops run. */
  readonly #work: FloatDtype;
  readonly #tileByteLength: number;
  readonly #tileRows: number;
  readonly #sketches = new SketchCache(SKETCH_CACHE_BYTES);
  /** Made elsewhere, and not ours to overwrite. */
  readonly #known = new Map<SketchKey, Float64Array>();
  /** Room for the sketch of a group that lies in the tile: nobody needs it again. */
  readonly #passingSketches = new Map<Op, Float64Array>();
  readonly #shared: SharedSketches | undefined;
  readonly #turns = new EventTurns();
  #signal: AbortSignal | undefined;

  private constructor(
    span: TensorSpan,
    source: ByteSource,
    shop: Workshop,
    stages: readonly (readonly Op[])[],
    tileByteLength: number,
    signal: AbortSignal | undefined,
    shared: SharedSketches | undefined,
  ) {
    this.#span = span;
    this.#source = source;
    this.#shop = shop;
    this.#stages = stages;
    this.#inPlace = worksInPlace(span);
    this.#work = this.#inPlace ? span.dtype : "F32";
    this.#signal = signal;
    this.#shared = shared;
    this.#tileByteLength = tileByteLength;
    this.#tileRows = tileRows(span, tileByteLength);
  }

  /** Reads the adapter tensors of a span's Ops. The state stays in the arena until the caller releases it. */
  static async prepare(
    span: TensorSpan,
    source: ByteSource,
    shop: Workshop,
    tileByteLength: number,
    signal?: AbortSignal,
    shared?: SharedSketches,
  ): Promise<TensorTransform> {
    const work = worksInPlace(span) ? span.dtype : "F32";
    const stages: Op[][] = [];
    for (const specs of span.stages) {
      const ops: Op[] = [];
      for (const spec of specs) ops.push(await methodOfOp(spec).prepare(spec, shop, work));
      stages.push(ops);
    }
    return new TensorTransform(span, source, shop, stages, tileByteLength, signal, shared);
  }

  /** Goes on with what was prepared: the same file, opened again perhaps, and for somebody else. */
  resume(source: ByteSource, signal: AbortSignal | undefined): void {
    this.#source = source;
    this.#signal = signal;
  }

  /** Takes a sketch that was made elsewhere. */
  addSketch(key: SketchKey, sketch: Float64Array): void {
    this.#known.set(key, sketch);
  }

  /** Computes bytes `[start, end)` of the tensor's output, and gives them away piece by piece, in order. */
  async produce(start: number, end: number, emit: EmitBytes): Promise<void> {
    const rowByteLength = this.#rowByteLength(this.#span.dtype);
    const lastRow = Math.ceil(end / rowByteLength);
    for (let row = Math.floor(start / rowByteLength); row < lastRow;) {
      this.#signal?.throwIfAborted();
      const rows = { start: row, count: Math.min(lastRow, tileEnd(this.#span, this.#tileByteLength, row)) - row };
      const mark = this.#shop.arena.mark();
      const tile = await this.#load(rows, this.#stages.length);
      // The tile may hold more rows than were asked for, all of them done; the range may begin and end within a row.
      const tileStart = tile.rows.start * rowByteLength;
      const nextRow = tile.rows.start + tile.rows.count;
      const from = Math.max(start, row * rowByteLength);
      const to = Math.min(end, nextRow * rowByteLength);
      await this.#settle();
      this.#finish(tile, from, to);
      const { bytes } = this.#shop.kernel;
      await emit(from, bytes.subarray(tile.raw + from - tileStart, tile.raw + to - tileStart));
      this.#shop.arena.release(mark);
      row = nextRow;
    }
  }

  /** Adds the sums of one span of a group to a sketch: of the rows as the earlier stages leave them. */
  async addSpan(stage: number, opIndex: number, rows: RowRun, sketch: Float64Array): Promise<void> {
    const op = this.#stages[stage]![opIndex]!;
    const mark = this.#shop.arena.mark();
    const sums = this.#startSums(op.spec);
    const step = segmentRows(op.spec.region.columnCount);
    const groupStart = Math.floor(rows.start / op.spec.groupRows) * op.spec.groupRows;
    const batch = Math.max(1, Math.floor(this.#tileRows / step)) * step;
    for (const run of storedRuns(op.spec.region.runs, rows)) {
      for (let done = 0; done < run.count;) {
        this.#signal?.throwIfAborted();
        // Who shares sketches shares the thread.
        if (this.#shared !== undefined) await this.#turns.wait();
        // Whole segments, as they lie in the group, also where a run begins within one; and all that the tile has.
        const intoSegment = (run.regionRow + done - groupStart) % step;
        const storedRow = run.storedRow + done;
        const left = run.count - done;
        const tileMark = this.#shop.arena.mark();
        const tile = await this.#load({ start: storedRow, count: Math.min(left, batch - intoSegment) }, stage);
        const loaded = tile.rows.start + tile.rows.count - storedRow;
        const whole = Math.floor((intoSegment + loaded) / step) * step - intoSegment;
        const count = loaded < left ? whole : left;
        this.#sumTile(op, tile, { storedRow, regionRow: run.regionRow + done, count }, sums);
        await this.#settle();
        this.#shop.arena.release(tileMark);
        done += count;
      }
    }
    addInto(sketch, this.#sumsView(sums, op.spec));
    this.#shop.arena.release(mark);
  }

  /** A kernel on another device has only noted what to do; for any other this is nothing. */
  #settle(): Promise<void> | undefined {
    return this.#shop.kernel.settle?.();
  }

  /** Reads rows and runs the first `stageCount` stages on them; the tile has more rows where an Op needs them. */
  async #load(rows: RowRun, stageCount: number): Promise<Tile> {
    const { arena, kernel } = this.#shop;
    const { sourceDtype, dtype, sourceOffset, columnCount } = this.#span;
    const wide = wholeGroups(this.#span, rows, stageCount);
    const sourceByteLength = this.#rowByteLength(sourceDtype);
    const elementCount = wide.count * columnCount;
    const raw = arena.take(wide.count * Math.max(sourceByteLength, this.#rowByteLength(dtype)));
    const work = this.#inPlace ? raw : arena.take(elementCount * elementByteLength(this.#work));
    const bytes = kernel.bytes.subarray(raw, raw + wide.count * sourceByteLength);
    await this.#source.read(sourceOffset + wide.start * sourceByteLength, bytes);
    if (!this.#inPlace) kernel.decode(sourceDtype, raw, elementCount, work);
    const tile = { rows: wide, raw, work };
    for (let stage = 0; stage < stageCount; stage++) await this.#runStage(stage, tile);
    return tile;
  }

  async #runStage(stage: number, tile: Tile): Promise<void> {
    for (const [opIndex, op] of this.#stages[stage]!.entries()) {
      const { groupNeed, groupRows, region } = op.spec;
      for (const run of regionRuns(region.runs, tile.rows)) {
        if (groupNeed === "nothing") {
          op.transform(this.#tileRowsOf(tile, run), null);
          continue;
        }
        for (let row = run.regionRow; row < run.regionRow + run.count;) {
          const group = Math.floor(row / groupRows);
          const count = Math.min(run.regionRow + run.count, (group + 1) * groupRows) - row;
          const piece = { storedRow: run.storedRow + row - run.regionRow, regionRow: row, count };
          if (groupNeed === "rows") {
            // A group that lies in several runs is done once, where its first row comes by.
            if (row === group * groupRows) this.#transformGroup(op, group, tile);
          } else {
            const sketch = await this.#sketch(stage, opIndex, group, tile, piece);
            op.transform(this.#tileRowsOf(tile, piece), sketch);
          }
          row += count;
        }
      }
    }
  }

  /** Transforms a whole group in a tile; rows of several runs are brought together first. */
  #transformGroup(op: Op, group: number, tile: Tile): void {
    const { groupRows, region } = op.spec;
    const pieces = storedRuns(region.runs, { start: group * groupRows, count: groupRows });
    if (pieces.length === 1) return op.transform(this.#tileRowsOf(tile, pieces[0]!), null);
    const mark = this.#shop.arena.mark();
    const rowStride = this.#rowByteLength(this.#work);
    const address = this.#shop.arena.take(groupRows * rowStride);
    const { kernel } = this.#shop;
    const shared = { sourceStride: rowStride, targetStride: rowStride, byteLength: rowStride };
    const gathered = (piece: Piece) => address + (piece.regionRow - group * groupRows) * rowStride;
    for (const piece of pieces) {
      const source = this.#tileRowsOf(tile, piece).address;
      kernel.copyRows({ ...shared, source, target: gathered(piece), rowCount: piece.count });
    }
    op.transform({ dtype: this.#work, address, rowStride, rowCount: groupRows, firstRow: group * groupRows }, null);
    for (const piece of pieces) {
      const target = this.#tileRowsOf(tile, piece).address;
      kernel.copyRows({ ...shared, source: gathered(piece), target, rowCount: piece.count });
    }
    this.#shop.arena.release(mark);
  }

  /** A group's sketch: summed in the tile where the tile has the whole group in one run, else remembered or read. */
  async #sketch(stage: number, opIndex: number, group: number, tile: Tile, piece: Piece): Promise<Float64Array> {
    const { spec } = this.#stages[stage]![opIndex]!;
    // These sums, or a tile that is read for them, come to lie where what is noted may still work.
    await this.#settle();
    if (piece.count === spec.groupRows) {
      return await this.#sketchInTile(this.#stages[stage]![opIndex]!, group, tile, piece);
    }
    const key = sketchKey(stage, opIndex, group);
    const known = this.#known.get(key) ?? this.#sketches.get(key);
    if (known !== undefined) return known;
    const sum = async (sketch: Float64Array) => {
      for (const span of groupSpans(spec, group)) await this.addSpan(stage, opIndex, span, sketch);
      return sketch;
    };
    if (this.#shared !== undefined) {
      const { store, prefix } = this.#shared;
      const make = () => sum(new Float64Array(spec.sketchLength));
      return await store.get({ key: `${prefix}/${key}`, make, signal: this.#signal });
    }
    const sketch = await sum(this.#sketches.take(spec.sketchLength));
    this.#sketches.set(key, sketch);
    return sketch;
  }

  async #sketchInTile(op: Op, group: number, tile: Tile, piece: Piece): Promise<Float64Array> {
    const mark = this.#shop.arena.mark();
    const sketch = (this.#passingSketches.get(op) ?? new Float64Array(op.spec.sketchLength)).fill(0);
    this.#passingSketches.set(op, sketch);
    for (const span of groupSpans(op.spec, group)) {
      const sums = this.#startSums(op.spec);
      const storedRow = piece.storedRow + span.start - piece.regionRow;
      this.#sumTile(op, tile, { storedRow, regionRow: span.start, count: span.count }, sums);
      await this.#settle();
      addInto(sketch, this.#sumsView(sums, op.spec));
      this.#shop.arena.release(mark);
    }
    return sketch;
  }

  /** Adds rows that are in a tile, segment by segment. */
  #sumTile(op: Op, tile: Tile, piece: Piece, sums: Address): void {
    const step = segmentRows(op.spec.region.columnCount);
    const groupStart = Math.floor(piece.regionRow / op.spec.groupRows) * op.spec.groupRows;
    for (let done = 0; done < piece.count;) {
      const intoSegment = (piece.regionRow + done - groupStart) % step;
      const count = Math.min(piece.count - done, step - intoSegment);
      const segment = { storedRow: piece.storedRow + done, regionRow: piece.regionRow + done, count };
      op.reduce(this.#tileRowsOf(tile, segment), sums);
      done += count;
    }
  }

  #tileRowsOf(tile: Tile, { storedRow, regionRow, count }: Piece) {
    const rowStride = this.#rowByteLength(this.#work);
    const address = tile.work + (storedRow - tile.rows.start) * rowStride;
    return { dtype: this.#work, address, rowStride, rowCount: count, firstRow: regionRow };
  }

  /** The one rounding, of output bytes `[from, to)`. Rows that no Op is about keep their bytes, unless all are cast. */
  #finish(tile: Tile, from: number, to: number): void {
    if (this.#inPlace) return;
    const { kernel } = this.#shop;
    const { dtype, sourceDtype, columnCount } = this.#span;
    const elementBytes = elementByteLength(dtype);
    const encode = (first: number, last: number) => {
      const index = first - tile.rows.start * columnCount;
      return kernel.encode(dtype, tile.work + index * 4, last - first, tile.raw + index * elementBytes);
    };
    if (dtype !== sourceDtype) {
      // An element that a border cuts is counted where it begins: any split of the bytes counts each once.
      const first = Math.ceil(from / elementBytes);
      const last = Math.ceil(to / elementBytes);
      encode(Math.floor(from / elementBytes), first);
      if (first < last) this.overflowCount += encode(first, last);
      return;
    }
    const encoded: RowRun[] = [];
    for (const { spec } of this.#stages.flat()) {
      for (const run of regionRuns(spec.region.runs, tile.rows)) {
        encoded.push({ start: run.storedRow, count: run.count });
      }
    }
    for (const { start, count } of unionOf(encoded)) encode(start * columnCount, (start + count) * columnCount);
  }

  #startSums({ sketchLength }: OpSpec): Address {
    const sums = this.#shop.arena.take(sketchLength * 8);
    this.#shop.kernel.bytes.fill(0, sums, sums + sketchLength * 8);
    return sums;
  }

  #sumsView(sums: Address, { sketchLength }: OpSpec): Float64Array<ArrayBuffer> {
    return new Float64Array(this.#shop.kernel.bytes.buffer, sums, sketchLength);
  }

  #rowByteLength(dtype: FloatDtype): number {
    return this.#span.columnCount * elementByteLength(dtype);
  }
}

/** Adjacent rows: where they are stored, and what the region calls the first. */
interface Piece {
  readonly storedRow: number;
  readonly regionRow: number;
  readonly count: number;
}

function addInto(total: Float64Array, part: Float64Array): void {
  for (let i = 0; i < total.length; i++) total[i]! += part[i]!;
}

function unionOf(runs: RowRun[]): RowRun[] {
  const sorted = runs.toSorted((a, b) => a.start - b.start);
  const union: { start: number; count: number }[] = [];
  for (const run of sorted) {
    const last = union.at(-1);
    if (last === undefined || run.start > last.start + last.count) union.push({ ...run });
    else last.count = Math.max(last.count, run.start + run.count - last.start);
  }
  return union;
}
