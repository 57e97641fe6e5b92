/**
 * The few primitives that every Op is made of, over one linear memory that files are read into and written from.
 *
 * Names: a *tile* is some whole rows of a stored matrix, in the matrix's own dtype. The *right* part of a
 * transformation acts along each row (W·H), in *chunks* of a row; the *left* part acts down the rows (H̃·W).
 *
 * Arithmetic is f32 with one rounding per operation, in an order that depends on the shape of the matrix alone, so that
 * any split of the rows gives the same bytes. What f32 cannot hold is done again in f64: sums that overflow, and sums
 * below 2^-100, whose products may lie below 2^-126, where f32 loses digits that an F32 tile still has. The one rounding
 * to the tile's dtype is to nearest even. `specification.ts` says all of it in plain TypeScript.
 */
import type { FloatDtype } from "../safetensors/dtype.ts";

/** A byte offset into a kernel's memory; 0 stands for "none". */
export type Address = number;

/**
 * Right part: w ← w − alpha·(w·û)û + beta·(w·v̂)v̂ for each chunk w of each row. alpha and beta are rounded to f32; the
 * vectors are of norm 1, or zero.
 *
 * A chunk of a row is done in f64 where alpha·(w·û) or beta·(w·v̂) is not finite (so also where an element is not) or
 * too large for the f32 path: not below 2^125, or 2^40 for F16. So is one where |w·û| is below 2^-100; where its
 * coefficients are 0 in f64 too, and there is no left part, it stays as it is.
 */
export interface RightReflection {
  /** The first chunk's û, written by {@link Kernel.writeVectors}. */
  readonly u: Address;
  /** The first chunk's v̂, or 0. */
  readonly v: Address;
  /** Bytes from one chunk's vector to the next one's; 0: every chunk uses the same vector. */
  readonly vectorStride: number;
  readonly alpha: number;
  readonly beta: number;
}

/**
 * Left part: w[i,j] ← w[i,j] − p[i]·s[j] + q[i]·t[j], where s and t were made by {@link Kernel.prepareSums} from sums
 * over all the rows of the block: an element that is not finite has then made `exact` true. |p[i]| and |q[i]| are at
 * most 1.
 */
export interface LeftUpdate {
  /** ũ of the tile's rows, f32 `[rowCount]`. */
  readonly p: Address;
  /** ṽ of the tile's rows, f32 `[rowCount]`, or 0. */
  readonly q: Address;
  /** The scaled sums for `p`, and for `q` (0 where `q` is 0). */
  readonly s: Address;
  readonly t: Address;
  /** The same in f64, `[chunkCount · chunkLength]`, read where f32 cannot hold a value; `t64` is 0 where `q` is. */
  readonly s64: Address;
  readonly t64: Address;
  /** True where {@link Kernel.prepareSums} said so: the whole tile is done in f64. */
  readonly exact: boolean;
}

/** What {@link Kernel.transformRows} works on: `chunkCount` adjacent chunks of `chunkLength` elements in each row. */
export interface RowsJob {
  readonly dtype: FloatDtype;
  /** The first row's first chunk. Any alignment. */
  readonly tile: Address;
  readonly rowCount: number;
  /** Bytes from one row to the next. */
  readonly rowStride: number;
  readonly chunkCount: number;
  readonly chunkLength: number;
  readonly right: RightReflection | null;
  readonly left: LeftUpdate | null;
}

/** What {@link Kernel.reduceRows} works on: one segment of rows, over `columnCount` adjacent columns. */
export interface ReduceJob {
  readonly dtype: FloatDtype;
  readonly tile: Address;
  readonly rowCount: number;
  /** Bytes from one row to the next. */
  readonly rowStride: number;
  readonly columnCount: number;
  /** Coefficients of the rows, f32 `[rowCount]`, in size at most 1; `q` may be 0. */
  readonly p: Address;
  readonly q: Address;
  /** Where the segment's sums are added, f64 `[columnCount]`; `qSums` is 0 where `q` is. */
  readonly pSums: Address;
  readonly qSums: Address;
  /** Room of {@link vectorByteLength}`(columnCount)` bytes for each of the one or two sums. */
  readonly scratch: Address;
}

/** What {@link Kernel.prepareSums} works on. */
export interface SumsJob {
  readonly dtype: FloatDtype;
  /** Finished sums of a block of rows, f64 `[chunkCount · chunkLength]`; reflected and scaled in place. */
  readonly sums: Address;
  readonly chunkCount: number;
  readonly chunkLength: number;
  /** The right part that the same rows get, or null: (ũᵀW)H = ũᵀ(W H). */
  readonly right: RightReflection | null;
  readonly scale: number;
  /** Where the f32 form goes, `chunkCount` vectors of {@link vectorByteLength}`(chunkLength)` bytes. */
  readonly target: Address;
}

/** C = A·B in f32: A `[m, k]`, B `[k, n]`, C `[m, n]`, row strides in bytes; C overlaps neither. */
export interface MatmulJob {
  readonly a: Address;
  readonly aStride: number;
  readonly b: Address;
  readonly bStride: number;
  readonly c: Address;
  readonly cStride: number;
  readonly m: number;
  readonly k: number;
  readonly n: number;
}

/** Rows from one place to another; source and target do not overlap. */
export interface CopyRowsJob {
  readonly source: Address;
  /** Bytes from one row to the next. */
  readonly sourceStride: number;
  readonly target: Address;
  readonly targetStride: number;
  readonly rowCount: number;
  /** Bytes of a row. */
  readonly byteLength: number;
}

/**
 * The primitives; implemented in WASM SIMD, as the executable specification in plain TypeScript, and on a GPU.
 *
 * A kernel on another device only notes what is to be done to tiles, until {@link settle}: callers settle before they
 * look at what {@link transformRows}, {@link reduceRows}, {@link matmul}, {@link copyRows} and {@link clear} leave, or
 * change what these read.
 */
export interface Kernel {
  readonly name: "wasm" | "typescript" | "webgpu";

  /** The whole memory. Read it again after {@link reserve}: growing detaches older views. */
  readonly bytes: Uint8Array<ArrayBuffer>;

  /** First address that callers may use; below it lie the kernel's own constants. A multiple of 64. */
  readonly base: Address;

  /** Makes the memory at least `byteLength` long. @throws {RangeError} beyond 4 GiB or what the host gives */
  reserve(byteLength: number): void;

  /**
   * Writes vectors of `length` values, one after the other, in the order in which the tile loops of `dtype` want them,
   * each padded with zeros to {@link vectorByteLength}`(length)`.
   *
   * @param address where the first vector goes; a multiple of 16
   * @param values  f32 `[count, length]`
   */
  writeVectors(dtype: FloatDtype, address: Address, values: Float32Array, length: number): void;

  /** Transforms the rows of a tile in place, right and left part together, with one rounding. */
  transformRows(job: RowsJob): void;

  /**
   * Adds Σᵢ p[i]·w[i,j] of a segment of rows to `pSums`, and the same for `q`: a sum in f32 (of 2^60·p[i] but for F16, so
   * that no small product loses digits), or in f64 for all columns if a sum is not finite. The result depends on how rows are
   * cut into segments: callers cut by the shape alone.
   */
  reduceRows(job: ReduceJob): void;

  /**
   * Reflects, scales and converts finished sums. True: they do not fit the f32 path (a magnitude that is not below
   * 2^125, or 2^40 for F16, or that is below 2^-100 and not 0), and {@link LeftUpdate.exact} must be set.
   */
  prepareSums(job: SumsJob): boolean;

  /** Copies rows. */
  copyRows(job: CopyRowsJob): void;

  /** Fills `byteLength` bytes with zeros. */
  clear(address: Address, byteLength: number): void;

  /**
   * Does what was only noted. Absent where nothing is ever left to do.
   *
   * @throws {EtherError} `io_error` where the device fails and nothing may stand in for it
   */
  settle?(): Promise<void>;

  /** C = A·B; an element of C that is not finite, or below 2^-100 in size, is computed again in f64. */
  matmul(job: MatmulJob): void;

  /**
   * Converts `count` elements to f32. Exact; a NaN keeps its sign and payload. `source` and `target` do not overlap,
   * unless they are equal and F32.
   */
  decode(dtype: FloatDtype, source: Address, count: number, target: Address): void;

  /**
   * Rounds `count` f32 values to nearest even; a NaN becomes 0x7fc00000, 0x7fc0 or 0x7e00. `target` may be `source`.
   *
   * @returns how many finite values became infinite
   */
  encode(dtype: FloatDtype, source: Address, count: number, target: Address): number;
}

/** Bytes of one vector of `length` values: f32, padded to a multiple of eight values. */
export function vectorByteLength(length: number): number {
  return Math.ceil(length / 8) * 32;
}
