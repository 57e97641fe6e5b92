/**
 * What a merge does to one tensor, measured: its rows run through the Ops as in a merge, but are not rounded to the
 * tensor's dtype, so that the change is the adapter's and not the rounding's. One tile at a time.
 */
import { TensorTransform } from "../execute/tensor.ts";
import type { OnBytes } from "../execute/task.ts";
import type { ByteSource } from "../io/source.ts";
import type { Workshop } from "../methods/workshop.ts";
import type { TensorSpan } from "../plans/plan.ts";
import { elementByteLength } from "../safetensors/dtype.ts";
import { MAX_RANK_COLUMNS, RankSketch } from "./change_rank.ts";
import { type EnergyChange, EnergySample } from "./hyperspherical_energy.ts";

/** What was measured of one tensor. */
export interface MeasuredChange {
  /** ‖W'‖_F / ‖W‖_F; null where W is zero or not finite. */
  readonly normRatio: number | null;
  /** ‖W' − W‖_F / ‖W‖_F; null where W is zero or not finite. */
  readonly relativeNorm: number | null;
  /** The rank of W' − W as far as f32 tells; null of more than 1,024 columns, and where W is not finite. */
  readonly rank: number | null;
  /** Of the rows of W `[out, in]`; null where it is infinite or not defined. */
  readonly energy: EnergyChange | null;
  /** The relative change in stretches of the input and of the output dimension. */
  readonly profile: { readonly in: readonly number[]; readonly out: readonly number[] };
}

/** How a tensor is measured. */
export interface MeasureOptions {
  /** W is stored `[in, out]`. */
  readonly transposed: boolean;
  /** See {@link RankSketch}. */
  readonly rankBound: number;
  /** Decides which neurons are drawn. */
  readonly seed: number;
  readonly tileByteLength: number;
  /** Told how many bytes of the stored tensor have been done since the last call; may make it wait. */
  readonly onBytes?: OnBytes | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Values of W that are looked at together. */
const CHUNK_VALUES = 1 << 16;
/** Stretches of a profile, at most. */
const PROFILE_LENGTH = 64;

/** Measures one tensor; what it takes of the shop's memory it gives back. */
export async function measureChange(
  span: TensorSpan,
  source: ByteSource,
  shop: Workshop,
  options: MeasureOptions,
): Promise<MeasuredChange> {
  const { rowCount, columnCount, sourceDtype, sourceOffset } = span;
  const { arena, kernel } = shop;
  const mark = arena.mark();
  try {
    const chunkRows = Math.max(1, Math.min(rowCount, Math.floor(CHUNK_VALUES / columnCount)));
    const raw = arena.take(chunkRows * columnCount * elementByteLength(sourceDtype));
    const decoded = arena.take(chunkRows * columnCount * 4);
    const meter = new ChangeMeter(rowCount, columnCount, options);
    const wide: TensorSpan = { ...span, dtype: "F32", byteLength: rowCount * columnCount * 4 };
    const { tileByteLength, signal } = options;
    const transform = await TensorTransform.prepare(wide, source, shop, tileByteLength, signal);
    await transform.produce(0, wide.byteLength, async (offset, bytes) => {
      const firstRow = offset / (4 * columnCount);
      const tileRows = bytes.byteLength / (4 * columnCount);
      const after = new Float32Array(kernel.bytes.buffer, bytes.byteOffset, tileRows * columnCount);
      const before = new Float32Array(kernel.bytes.buffer, decoded, chunkRows * columnCount);
      for (let row = 0; row < tileRows; row += chunkRows) {
        const count = Math.min(chunkRows, tileRows - row);
        const byteLength = count * columnCount * elementByteLength(sourceDtype);
        const start = sourceOffset + (firstRow + row) * columnCount * elementByteLength(sourceDtype);
        await source.read(start, kernel.bytes.subarray(raw, raw + byteLength));
        kernel.decode(sourceDtype, raw, count * columnCount, decoded);
        meter.addRows(before, after, row, count);
        await options.onBytes?.(byteLength);
      }
    });
    return meter.finish();
  } finally {
    arena.release(mark);
  }
}

/** Sums over a matrix and its change, row by row, in order. */
class ChangeMeter {
  readonly #rowCount: number;
  readonly #columnCount: number;
  readonly #transposed: boolean;
  /** Σ w² and Σ δ² of each column, and of stretches of rows. */
  readonly #columnSquares: Float64Array<ArrayBuffer>;
  readonly #columnChanges: Float64Array<ArrayBuffer>;
  readonly #rowSquares: Float64Array<ArrayBuffer>;
  readonly #rowChanges: Float64Array<ArrayBuffer>;
  readonly #rank: RankSketch | null;
  readonly #energy: EnergySample;
  #nextRow = 0;
  #nextSample = 0;
  #nonzeroRows = 0;
  #newSquares = 0;

  constructor(rowCount: number, columnCount: number, { transposed, rankBound, seed }: MeasureOptions) {
    this.#rowCount = rowCount;
    this.#columnCount = columnCount;
    this.#transposed = transposed;
    this.#columnSquares = new Float64Array(columnCount);
    this.#columnChanges = new Float64Array(columnCount);
    const stretches = Math.min(PROFILE_LENGTH, rowCount);
    this.#rowSquares = new Float64Array(stretches);
    this.#rowChanges = new Float64Array(stretches);
    const ranked = columnCount <= MAX_RANK_COLUMNS;
    this.#rank = ranked ? new RankSketch(rowCount, columnCount, rankBound, seed) : null;
    this.#energy = transposed
      ? new EnergySample(columnCount, rowCount, seed)
      : new EnergySample(rowCount, columnCount, seed);
  }

  /** @param before from its start, @param after from row `afterRow` on */
  addRows(before: Float32Array, after: Float32Array, afterRow: number, count: number): void {
    const columnCount = this.#columnCount;
    const columnSquares = this.#columnSquares;
    const columnChanges = this.#columnChanges;
    for (let row = 0; row < count; row++) {
      const at = row * columnCount;
      const afterAt = (afterRow + row) * columnCount;
      let [squares, changes, newSquares] = [0, 0, 0];
      for (let j = 0; j < columnCount; j++) {
        const w = before[at + j]!;
        const changed = after[afterAt + j]!;
        const delta = changed - w;
        const square = w * w;
        const change = delta * delta;
        squares += square;
        changes += change;
        newSquares += changed * changed;
        columnSquares[j]! += square;
        columnChanges[j]! += change;
      }
      if (squares > 0) this.#nonzeroRows++;
      this.#newSquares += newSquares;
      const stretch = Math.floor(this.#nextRow * this.#rowSquares.length / this.#rowCount);
      this.#rowSquares[stretch]! += squares;
      this.#rowChanges[stretch]! += changes;
      this.#keepNeurons(before, at, after, afterAt);
      this.#rank?.add(before, at, after, afterAt);
      this.#nextRow++;
    }
  }

  #keepNeurons(before: Float32Array, at: number, after: Float32Array, afterAt: number): void {
    const sample = this.#energy;
    if (this.#transposed) {
      for (let k = 0; k < sample.indices.length; k++) {
        const place = k * sample.neuronLength + this.#nextRow;
        sample.before[place] = before[at + sample.indices[k]!]!;
        sample.after[place] = after[afterAt + sample.indices[k]!]!;
      }
      return;
    }
    if (sample.indices[this.#nextSample] !== this.#nextRow) return;
    const place = this.#nextSample++ * this.#columnCount;
    for (let j = 0; j < this.#columnCount; j++) {
      sample.before[place + j] = before[at + j]!;
      sample.after[place + j] = after[afterAt + j]!;
    }
  }

  finish(): MeasuredChange {
    const squares = sumOf(this.#rowSquares);
    const changes = sumOf(this.#rowChanges);
    const finite = Number.isFinite(squares) && Number.isFinite(changes);
    const columns = stretchRatios(this.#columnSquares, this.#columnChanges);
    const rows = stretchRatios(this.#rowSquares, this.#rowChanges);
    const directed = this.#transposed ? this.#columnSquares.filter((square) => square > 0).length : this.#nonzeroRows;
    return {
      normRatio: finite && squares > 0 ? Math.sqrt(this.#newSquares / squares) : null,
      relativeNorm: finite && squares > 0 ? Math.sqrt(changes / squares) : null,
      rank: finite ? this.#rank?.finish() ?? null : null,
      energy: finite ? this.#energy.finish(directed) : null,
      profile: this.#transposed ? { in: rows, out: columns } : { in: columns, out: rows },
    };
  }
}

function sumOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** √(Σ changes / Σ squares) of at most {@link PROFILE_LENGTH} stretches; 0 where there is nothing to change. */
function stretchRatios(squares: Float64Array, changes: Float64Array): number[] {
  const count = Math.min(PROFILE_LENGTH, squares.length);
  return Array.from({ length: count }, (_, stretch) => {
    const start = Math.floor(stretch * squares.length / count);
    const end = Math.floor((stretch + 1) * squares.length / count);
    const whole = sumOf(squares.subarray(start, end));
    return whole === 0 ? 0 : Math.sqrt(sumOf(changes.subarray(start, end)) / whole);
  });
}
