/** A merge as data: which bytes of the output come from where. Everything is decided here; execution only follows. */
import type { OpSpec } from "../methods/op.ts";
import type { Dtype, FloatDtype } from "../safetensors/dtype.ts";

/** Bytes of an output file, in one piece. Spans follow each other without a gap. */
export type Span = LiteralSpan | CopySpan | TensorSpan;

/** Bytes that stand in the plan: a header that was written anew. */
export interface LiteralSpan {
  readonly kind: "literal";
  readonly offset: number;
  readonly byteLength: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Bytes of a base file as they are: its header, and tensors that nothing changes. */
export interface CopySpan {
  readonly kind: "copy";
  readonly offset: number;
  readonly byteLength: number;
  readonly locator: string;
  readonly sourceOffset: number;
}

/** A tensor that is computed: Ops, another dtype, or both. */
export interface TensorSpan {
  readonly kind: "tensor";
  readonly offset: number;
  readonly byteLength: number;
  readonly name: string;
  readonly locator: string;
  readonly sourceOffset: number;
  readonly sourceDtype: FloatDtype;
  readonly dtype: FloatDtype;
  /** `[rows, columns]` as stored. A tensor that is only cast, of whatever rank, is one column of all its elements. */
  readonly rowCount: number;
  readonly columnCount: number;
  /** One entry for each adapter that changes the tensor, in order of application. */
  readonly stages: readonly (readonly OpSpec[])[];
}

/** One weight file of the output. */
export interface PlannedFile {
  /** Relative to the output. */
  readonly path: string;
  readonly size: number;
  readonly spans: readonly Span[];
}

/** A small file of the output: the base's, or one written anew. */
export interface PlannedSmallFile {
  readonly path: string;
  readonly size: number;
  readonly content: { readonly locator: string } | { readonly bytes: Uint8Array<ArrayBuffer> };
}

/** One base file, for the manifest. */
export interface BaseFile {
  readonly path: string;
  readonly size: number;
  readonly locator: string;
  /** 8 + N of a weight file; null for a small one. */
  readonly headerLength: number | null;
  readonly sha256: string | null;
}

/** A base tensor whose bytes an adapter vouches for. */
export interface ExpectedBytes {
  readonly name: string;
  readonly locator: string;
  readonly sourceOffset: number;
  readonly byteLength: number;
  readonly sha256: string;
  /** The adapter's config, for messages. */
  readonly file: string;
}

/** One adapter, for the manifest. */
export interface PlannedAdapter {
  readonly digest: string;
  readonly peftType: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

/** A merge, ready to run. */
export interface MergePlan {
  readonly files: readonly PlannedFile[];
  readonly smallFiles: readonly PlannedSmallFile[];
  readonly leftOut: readonly string[];
  readonly baseFiles: readonly BaseFile[];
  readonly adapters: readonly PlannedAdapter[];
  readonly expected: readonly ExpectedBytes[];
  /** Tensors that adapters change, in file order. */
  readonly transformed: readonly { readonly name: string; readonly file: string; readonly ops: readonly string[] }[];
  /** Tensors that come out byte-identical. */
  readonly copiedCount: number;
  /** Tensors that only get another dtype. */
  readonly castCount: number;
  readonly warnings: readonly string[];
}

/** The dtype that a tensor is written in. */
export function outputDtype(dtype: Dtype, wanted: FloatDtype | null): Dtype {
  return wanted !== null && (dtype === "F32" || dtype === "F16" || dtype === "BF16") ? wanted : dtype;
}
