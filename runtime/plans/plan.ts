/** A merge as data: which bytes of the output come from where. Everything is decided here; execution only follows. */
import type { OpSpec } from "../methods/op.ts";
import type { Dtype, FloatDtype } from "../safetensors/dtype.ts";

/** Bytes of an output file, in one piece. Spans follow each other without a gap. */
export type Span = LiteralSpan | CopySpan | TensorSpan;

/** Bytes that stand in the plan: a header that was written anew. */
export interface LiteralSpan {
  /** Tells the spans apart. */
  readonly kind: "literal";
  /** The first byte in the output file. */
  readonly offset: number;
  /** How many bytes. */
  readonly byteLength: number;
  /** The bytes. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Bytes of a base file as they are: its header, and tensors that nothing changes. */
export interface CopySpan {
  /** Tells the spans apart. */
  readonly kind: "copy";
  /** The first byte in the output file. */
  readonly offset: number;
  /** How many bytes. */
  readonly byteLength: number;
  /** Opens the file. */
  readonly locator: string;
  /** The first byte in that file. */
  readonly sourceOffset: number;
}

/** A tensor that is computed: Ops, another dtype, or both. */
export interface TensorSpan {
  /** Tells the spans apart. */
  readonly kind: "tensor";
  /** The first byte in the output file. */
  readonly offset: number;
  /** How many bytes. */
  readonly byteLength: number;
  /** The tensor's name. */
  readonly name: string;
  /** Opens the file. */
  readonly locator: string;
  /** The first byte in that file. */
  readonly sourceOffset: number;
  /** The dtype as stored. */
  readonly sourceDtype: FloatDtype;
  /** The dtype as written. */
  readonly dtype: FloatDtype;
  /** `[rows, columns]` as stored. A tensor that is only cast, of whatever rank, is one column of all its elements. */
  readonly rowCount: number;
  /** See {@link rowCount}. */
  readonly columnCount: number;
  /** One entry for each adapter that changes the tensor, in order of application. */
  readonly stages: readonly (readonly OpSpec[])[];
  /** What the stages leave is put right by a receipt. */
  readonly correction?: Correction;
}

/** A tensor's residuals in a receipt: a table of block lengths, and the blocks. */
export interface Correction {
  /** Opens the receipt. */
  readonly locator: string;
  /** The first byte in that file. */
  readonly offset: number;
  /** How many bytes. */
  readonly byteLength: number;
}

/** One weight file of the output. */
export interface PlannedFile {
  /** Relative to the output. */
  readonly path: string;
  /** Bytes of the file. */
  readonly size: number;
  /** All bytes of the file, in order. */
  readonly spans: readonly Span[];
}

/** A small file of the output: the base's, or one written anew. */
export interface PlannedSmallFile {
  /** Relative to the folder. */
  readonly path: string;
  /** Bytes of the file. */
  readonly size: number;
  /** Where its bytes come from. */
  readonly content: { readonly locator: string } | { readonly bytes: Uint8Array<ArrayBuffer> };
}

/** One base file, for the manifest. */
export interface BaseFile {
  /** Relative to the folder. */
  readonly path: string;
  /** Bytes of the file. */
  readonly size: number;
  /** Opens the file. */
  readonly locator: string;
  /** 8 + N of a weight file; null for a small one. */
  readonly headerLength: number | null;
  /** SHA-256 in hex. */
  readonly sha256: string | null;
}

/** A base tensor whose bytes an adapter vouches for. */
export interface ExpectedBytes {
  /** The tensor's name. */
  readonly name: string;
  /** Opens the file. */
  readonly locator: string;
  /** The first byte in that file. */
  readonly sourceOffset: number;
  /** How many bytes. */
  readonly byteLength: number;
  /** SHA-256 in hex. */
  readonly sha256: string;
  /** The adapter's config, for messages. */
  readonly file: string;
  /** A mismatch is only a warning: the user said so. */
  readonly overruled: boolean;
}

/** One adapter, for the manifest. */
export interface PlannedAdapter {
  /** `sha256:<hex>`, see {@link Adapter.digest}. */
  readonly digest: string;
  /** `peft_type`. */
  readonly peftType: string;
  /** What its method says of it. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** A merge, ready to run. */
export interface MergePlan {
  /** Weight files. */
  readonly files: readonly PlannedFile[];
  /** Config, tokenizer and other small files. */
  readonly smallFiles: readonly PlannedSmallFile[];
  /** Weight files outside the weight set, which do not come along. */
  readonly leftOut: readonly string[];
  /** What the output is made of. */
  readonly baseFiles: readonly BaseFile[];
  /** In order of application. */
  readonly adapters: readonly PlannedAdapter[];
  /** Locators of the folders (these end with a slash) and files that base and adapters are. @default unknown */
  readonly inputs?: readonly string[] | undefined;
  /** To be checked before the output is complete. */
  readonly expected: readonly ExpectedBytes[];
  /** Tensors that adapters change, in file order. */
  readonly transformed: readonly { readonly name: string; readonly file: string; readonly ops: readonly string[] }[];
  /** Tensors that come out byte-identical. */
  readonly copiedCount: number;
  /** Tensors that only get another dtype. */
  readonly castCount: number;
  /** What the caller should tell the user. */
  readonly warnings: readonly string[];
  /** The adapters are undone, not applied. @default false */
  readonly undo?: boolean | undefined;
  /** What a receipt of this merge is made of, where one is wanted. */
  readonly receipt?: ReceiptPlan | undefined;
  /** What the weight files must turn out to be, before the output is complete. */
  readonly proof?: Proof | undefined;
}

/** How a merge is undone, so that its receipt can say what that gets wrong. */
export interface ReceiptPlan {
  /** The plan's files with the merge undone. Their tensors are read from the output. */
  readonly undoFiles: readonly PlannedFile[];
  /** In order of application. */
  readonly adapters: readonly AdapterUse[];
}

/** An adapter, and what was asked of it. */
export interface AdapterUse {
  /** `sha256:<hex>`, see {@link Adapter.digest}. */
  readonly digest: string;
  /** As the user gave it; the adapter's own multiplies it. */
  readonly strength: number;
}

/** What a receipt says of the files that it belongs to. */
export interface Proof {
  /** The receipt, for messages. */
  readonly file: string;
  /** Tree digests of the base's weight files. */
  readonly base: readonly ProvenFile[];
  /** Tree digests of the merged ones: the input of an undoing. */
  readonly merged: readonly (ProvenFile & { readonly locator: string })[];
}

/** A file of known bytes. */
export interface ProvenFile {
  /** Relative to the folder. */
  readonly path: string;
  /** Bytes of the file. */
  readonly size: number;
  /** `sha256-tree1m:<hex>`. */
  readonly digest: string;
}

/** The dtype that a tensor is written in. */
export function outputDtype(dtype: Dtype, wanted: FloatDtype | null): Dtype {
  return wanted !== null && (dtype === "F32" || dtype === "F16" || dtype === "BF16") ? wanted : dtype;
}
