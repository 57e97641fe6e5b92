/** What a pickle of tensors can hold, as data: nothing in it was called into being. */
import type { FloatDtype } from "../safetensors/dtype.ts";

/** Any value of a pickle. Integers are exact in a double. */
export type PickleValue =
  | null
  | boolean
  | number
  | string
  | PickleFloat
  | PickleTuple
  | PickleList
  | PickleDict
  | PickleGlobal
  | PickleStorage
  | PickleTensor;

/** A float: no count, even where it is whole. */
export interface PickleFloat {
  readonly kind: "float";
  readonly value: number;
}

/** A tuple; a list is {@link PickleList}, as only that may grow. */
export interface PickleTuple {
  readonly kind: "tuple";
  readonly items: readonly PickleValue[];
}

/** A list. */
export interface PickleList {
  readonly kind: "list";
  readonly items: PickleValue[];
}

/** A dict with its keys in order, or an `OrderedDict`. */
export interface PickleDict {
  readonly kind: "dict";
  readonly entries: Map<string, PickleValue>;
  /** An `OrderedDict`: the only object that may carry attributes, which are dropped. */
  readonly ordered: boolean;
}

/** One of the names that may stand in the file. */
export interface PickleGlobal {
  readonly kind: "global";
  readonly meaning: GlobalMeaning;
}

/** What a global stands for. */
export type GlobalMeaning =
  | "OrderedDict"
  /** Rebuilds a tensor from storage, offset, size and stride. */
  | "rebuild_tensor"
  /** Wraps a tensor as a parameter: the tensor. */
  | "rebuild_parameter"
  /** A storage class. */
  | FloatDtype;

/** Elements in an entry of the archive, which the persistent id names. */
export interface PickleStorage {
  readonly kind: "storage";
  readonly dtype: FloatDtype;
  /** The entry is `<archive>/data/<key>`. */
  readonly key: string;
  readonly elementCount: number;
}

/** A view of a storage. Nothing is checked but the kinds of its parts. */
export interface PickleTensor {
  readonly kind: "tensor";
  readonly storage: PickleStorage;
  /** In elements. */
  readonly offset: number;
  readonly shape: readonly number[];
  /** In elements. */
  readonly strides: readonly number[];
}

/** A value in a message. */
export function kindOf(value: PickleValue | undefined): string {
  if (value === undefined) return "nothing";
  if (value === null) return "None";
  if (typeof value !== "object") return `a ${typeof value}`;
  if (value.kind === "global") return `the global ${value.meaning}`;
  return `a ${value.kind}`;
}
