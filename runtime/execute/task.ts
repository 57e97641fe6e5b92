/** What a worker can be asked to do: plain data, so that a thread border is no different from a call. */
import type { RowRun } from "../methods/op.ts";
import type { PlannedFile } from "../plans/plan.ts";
import type { SketchKey } from "./sketches.ts";

/** A finished sketch of one tensor. */
export interface KnownSketch {
  /** Index of the tensor's span in its file. */
  readonly span: number;
  readonly key: SketchKey;
  readonly sketch: Float64Array<ArrayBuffer>;
}

/** Computes bytes `[start, end)` of an output file, writes them, and digests their pieces. */
export interface ShareTask {
  readonly kind: "share";
  /** Index in {@link Assignment.files}. */
  readonly file: number;
  /** A multiple of a piece. */
  readonly start: number;
  readonly end: number;
  readonly sketches: readonly KnownSketch[];
}

/** Sums one span of a group of rows. */
export interface SumTask {
  readonly kind: "sum";
  readonly file: number;
  readonly span: number;
  readonly stage: number;
  readonly op: number;
  readonly rows: RowRun;
  readonly sketches: readonly KnownSketch[];
}

/** SHA-256 of bytes `[offset, offset + byteLength)` of a file. */
export interface DigestTask {
  readonly kind: "digest";
  readonly locator: string;
  readonly offset: number;
  readonly byteLength: number;
}

/** Digests of the pieces of bytes `[start, end)` of a file. */
export interface PiecesTask {
  readonly kind: "pieces";
  readonly locator: string;
  /** A multiple of a piece. */
  readonly start: number;
  readonly end: number;
}

/**
 * Codes what bytes `[start, end)` of an output file, which undoes a merge, differ by from the base's; whole blocks of one
 * tensor.
 */
export interface ResidualTask {
  readonly kind: "residual";
  readonly file: number;
  /** Index of the tensor's span in its file. */
  readonly span: number;
  readonly start: number;
  readonly end: number;
  /** The same bytes of the base. */
  readonly base: { readonly locator: string; readonly offset: number };
  readonly sketches: readonly KnownSketch[];
}

export type Task = ShareTask | SumTask | DigestTask | PiecesTask | ResidualTask;

/** What comes of a task. */
export type TaskResult<T extends Task = Task> = T extends ShareTask
  ? { readonly pieces: Uint8Array<ArrayBuffer>; readonly overflows: readonly Overflow[] }
  : T extends SumTask ? { readonly sketch: Float64Array<ArrayBuffer> }
  : T extends DigestTask ? { readonly sha256: string }
  : T extends ResidualTask ? ResidualResult
  : { readonly pieces: Uint8Array<ArrayBuffer> };

/** Coded residuals. */
export interface ResidualResult {
  /** The blocks, end to end. */
  readonly residuals: Uint8Array<ArrayBuffer>;
  readonly blockByteLengths: readonly number[];
  /** Elements that undoing alone does not give back. */
  readonly wrongCount: number;
}

/** Finite values of a tensor that its new dtype cannot hold. */
export interface Overflow {
  readonly name: string;
  readonly count: number;
}

/** What a worker has to know before its first task. */
export interface Assignment {
  readonly files: readonly PlannedFile[];
  /** Where the files are written: the output's root as the host names it; null where nothing is. */
  readonly output: string | null;
  /** What a tile should have, read and written in one piece. */
  readonly tileByteLength: number;
}

/** Told how many bytes of output, or of a file that is digested, have been done since the last call; may make it wait. */
export type OnBytes = (count: number) => void | Promise<void>;

/** Whoever can run tasks, one at a time. */
export interface Runner {
  /** A task's sketches are there while it runs; afterwards their memory is taken back. @throws {EtherError} */
  run<T extends Task>(task: T, onBytes: OnBytes): Promise<TaskResult<T>>;
  close(): void | Promise<void>;
}
