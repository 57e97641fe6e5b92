/**
 * The centre of the house: every adapter method compiles, for one stored matrix, to Ops, and every consumer runs Ops.
 *
 * An {@link OpSpec} is plain data: it crosses thread borders and costs nothing. An {@link Op} is the same with its state
 * in a kernel's memory, ready to run.
 */
import type { Address } from "../kernel/kernel.ts";
import type { FloatDtype } from "../safetensors/dtype.ts";

/** One adapter tensor, and where its bytes are. */
export interface TensorRef {
  readonly name: string;
  readonly locator: string;
  readonly dtype: FloatDtype;
  readonly shape: readonly number[];
  /** Where the elements do not lie in order: in elements, one for each dimension. */
  readonly strides?: readonly number[];
  /** Offset of the first byte in the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/** Adjacent rows of a stored matrix. */
export interface RowRun {
  /** The first row. */
  readonly start: number;
  /** How many rows. */
  readonly count: number;
}

/**
 * The rows of a stored matrix that an Op acts on, numbered through from 0: all of them, or the rows of one part of a
 * fused matrix (the q rows of a grouped qkv are one run for each group).
 */
export interface Region {
  /** In order, without overlap. */
  readonly runs: readonly RowRun[];
  /** Rows of all runs. */
  readonly rowCount: number;
  /** Columns of the matrix. */
  readonly columnCount: number;
}

/** What a group of rows must bring before its rows can be transformed. */
export type GroupNeed =
  /** Nothing: every row is for itself. */
  | "nothing"
  /** A sketch: sums over the group's rows, see {@link Op.reduce}. */
  | "sketch"
  /** The other rows: the whole group is in the tile when it is transformed. */
  | "rows";

/** What one adapter does to one region of one stored matrix, as plain data. */
export interface OpSpec {
  /** The `peft_type` whose method made it, and which prepares it. */
  readonly method: string;
  /** The rows it acts on. */
  readonly region: Region;
  /** One word for the manifest and for listings, e.g. `etherplus:in+out`. */
  readonly label: string;
  /** What a group must bring. */
  readonly groupNeed: GroupNeed;
  /** Rows of a group; groups are counted from the region's row 0. The whole region where `groupNeed` is "nothing". */
  readonly groupRows: number;
  /** Values of a group's sketch. */
  readonly sketchLength: number;
  /** Bytes of the prepared Op's state in a kernel's memory, at most. */
  readonly stateByteLength: number;
  /** The dtypes whose tiles can be transformed as they were read, each computed NaN canonical; f32 tiles always can. */
  readonly tileDtypes: readonly FloatDtype[];
}

/** Some adjacent rows of a region, decoded or not, in a kernel's memory. */
export interface TileRows {
  readonly dtype: FloatDtype;
  readonly address: Address;
  /** Bytes from one row to the next. */
  readonly rowStride: number;
  readonly rowCount: number;
  /** The region's number of the first row. */
  readonly firstRow: number;
  /** True where every row stands for the row `firstRow`: activations, which one row of the matrix multiplies. */
  readonly same?: boolean;
}

/** An adapter's transformation of one region, with its state in a kernel's memory. */
export interface Op {
  readonly spec: OpSpec;
  /**
   * Adds the contribution of one segment of rows of one group to a sketch.
   *
   * @param sums f64 `[sketchLength]`
   */
  reduce(rows: TileRows, sums: Address): void;
  /**
   * Transforms rows in place. All of them belong to one group.
   *
   * @param sketch the group's, where {@link OpSpec.groupNeed} is "sketch", else null
   */
  transform(rows: TileRows, sketch: Float64Array | null): void;
}
