/** Writes what `torch.save` writes, byte by byte, so that a test can also write what it never would. */
import { crc32 } from "../../../runtime/torch/crc32.ts";
import type { FloatDtype } from "../../../runtime/safetensors/dtype.ts";

const encoder = new TextEncoder();

/** Bytes from numbers, texts and other bytes. */
export function bytesOf(...parts: readonly (number | string | Uint8Array)[]): Uint8Array<ArrayBuffer> {
  const arrays = parts.map((part) =>
    typeof part === "number" ? Uint8Array.of(part) : typeof part === "string" ? encoder.encode(part) : part
  );
  const bytes = new Uint8Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const array of arrays) {
    bytes.set(array, at);
    at += array.length;
  }
  return bytes;
}

/** A little-endian integer. */
export function little(value: number, width: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(width);
  let rest = BigInt(value);
  for (let i = 0; i < width; i++) {
    bytes[i] = Number(rest & 255n);
    rest >>= 8n;
  }
  return bytes;
}

/** One entry, with lies about it. */
export interface MadeEntry {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly method?: number;
  readonly flags?: number;
  readonly crc?: number;
  /** The directory's sizes. */
  readonly size?: number;
  readonly compressedSize?: number;
  /** The directory's place of the local header. */
  readonly headerOffset?: number;
  /** The local header's. */
  readonly localName?: string;
  /** Bytes of the local header's extra field, with which torch aligns. */
  readonly padding?: number;
}

/** How the archive ends. */
export interface MadeEnd {
  /** Write a 64-bit end record; `needed`: and say so in the other, and 64-bit sizes in the directory. */
  readonly zip64?: "there" | "needed";
  readonly comment?: string;
  readonly count?: number;
  readonly directoryOffset?: number;
}

/** An archive of stored entries. */
export function zipOf(entries: readonly MadeEntry[], end: MadeEnd = {}): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  const push = (...bytes: (number | string | Uint8Array)[]) => {
    const part = bytesOf(...bytes);
    parts.push(part);
    at += part.length;
  };
  const wide = end.zip64 === "needed";
  for (const entry of entries) {
    const { bytes, method = 0, flags = 0x808, padding = 0, name, localName = name } = entry;
    const headerOffset = entry.headerOffset ?? at;
    const sum = entry.crc ?? crc32(bytes);
    const size = entry.size ?? bytes.length;
    const compressedSize = entry.compressedSize ?? size;
    const nameBytes = encoder.encode(name);
    const localBytes = encoder.encode(localName);
    // As torch: the sizes follow the data.
    push("PK\x03\x04", little(20, 2), little(flags, 2), little(method, 2), little(0, 4), little(0, 12));
    push(little(localBytes.length, 2), little(padding, 2), localBytes, new Uint8Array(padding), bytes);
    push("PK\x07\x08", little(sum, 4), little(bytes.length, 4), little(bytes.length, 4));
    const extra = wide
      ? bytesOf(little(1, 2), little(24, 2), little(size, 8), little(compressedSize, 8), little(headerOffset, 8))
      : new Uint8Array(0);
    const narrow = (value: number) => little(wide ? 0xffffffff : value, 4);
    directory.push(bytesOf(
      ...["PK\x01\x02", little(20, 2), little(20, 2), little(flags, 2), little(method, 2), little(0, 4)],
      ...[little(sum, 4), narrow(compressedSize), narrow(size), little(nameBytes.length, 2)],
      ...[little(extra.length, 2), little(0, 2), little(0, 2), little(0, 2), little(0, 4), narrow(headerOffset)],
      ...[nameBytes, extra],
    ));
  }
  const directoryOffset = end.directoryOffset ?? at;
  const records = bytesOf(...directory);
  push(records);
  const count = end.count ?? entries.length;
  if (end.zip64 !== undefined) {
    const end64 = at;
    push("PK\x06\x06", little(44, 8), little(45, 2), little(45, 2), little(0, 8));
    push(little(count, 8), little(count, 8), little(records.length, 8), little(directoryOffset, 8));
    push("PK\x06\x07", little(0, 4), little(end64, 8), little(1, 4));
  }
  const comment = encoder.encode(end.comment ?? "");
  const narrow = (value: number, width: number) => little(wide ? 2 ** (8 * width) - 1 : value, width);
  push("PK\x05\x06", little(0, 4), narrow(count, 2), narrow(count, 2), narrow(records.length, 4));
  push(narrow(directoryOffset, 4), little(comment.length, 2), comment);
  return bytesOf(...parts);
}

/** A BINUNICODE. */
export function text(value: string): Uint8Array<ArrayBuffer> {
  const bytes = encoder.encode(value);
  return bytesOf("X", little(bytes.length, 4), bytes);
}

/** A LONG1, which holds any size. */
export function integer(value: number): Uint8Array<ArrayBuffer> {
  if (value >= 0 && value < 256) return bytesOf("K", value);
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, BigInt(value), true);
  return bytesOf(0x8a, 8, bytes);
}

/** A tuple of integers. */
export function tuple(values: readonly number[]): Uint8Array<ArrayBuffer> {
  return bytesOf("(", ...values.map(integer), "t");
}

const STORAGES: Readonly<Record<FloatDtype, string>> = {
  F32: "FloatStorage",
  F16: "HalfStorage",
  BF16: "BFloat16Storage",
};

/** A view of a storage. */
export interface View {
  readonly dtype: FloatDtype;
  /** The storage's entry. */
  readonly key: string;
  /** What the pickle says that the storage has. */
  readonly elementCount: number;
  readonly offset?: number;
  readonly shape: readonly number[];
  /** @default row-major */
  readonly strides?: readonly number[];
}

/** The opcodes that make one tensor. */
export function tensor({ dtype, key, elementCount, offset = 0, shape, strides }: View): Uint8Array<ArrayBuffer> {
  return bytesOf(
    "ctorch._utils\n_rebuild_tensor_v2\n((",
    ...[text("storage"), `ctorch\n${STORAGES[dtype]}\n`, text(key), text("cpu"), integer(elementCount), "tQ"],
    ...[integer(offset), tuple(shape), tuple(strides ?? rowMajor(shape)), 0x89, "ccollections\nOrderedDict\n)RtR"],
  );
}

/** Strides of elements in order. */
export function rowMajor(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
}

/** A protocol 2 pickle. */
export function pickle(...parts: readonly (number | string | Uint8Array)[]): Uint8Array<ArrayBuffer> {
  return bytesOf(0x80, 2, ...parts, ".");
}

/** The opcodes of a dict. */
export function dict(entries: readonly (readonly [string, Uint8Array])[]): Uint8Array<ArrayBuffer> {
  return bytesOf("}(", ...entries.flatMap(([key, value]) => [text(key), value]), "u");
}

/** A file whose pickle is given. */
export function torchFileOf(
  data: Uint8Array,
  storages: Readonly<Record<string, Uint8Array>> = {},
  more: readonly MadeEntry[] = [],
  end?: MadeEnd,
): Uint8Array<ArrayBuffer> {
  const entries = [
    { name: "archive/data.pkl", bytes: data, padding: 7 },
    ...Object.entries(storages).map(([key, bytes]) => ({ name: `archive/data/${key}`, bytes, padding: 5 })),
    { name: "archive/version", bytes: encoder.encode("3\n") },
    ...more,
  ];
  return zipOf(entries, end);
}

/** One tensor to save. */
export interface SavedTensor {
  readonly dtype: FloatDtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** What `fabric.save` writes of a model: `{"model": {name: tensor}}`, each tensor with a storage of its own. */
export function torchFile(tensors: Readonly<Record<string, SavedTensor>>): Uint8Array<ArrayBuffer> {
  const entries = Object.entries(tensors);
  const views = entries.map(([name, { dtype, shape }], i): [string, Uint8Array] => {
    return [name, tensor({ dtype, shape, key: `${i}`, elementCount: shape.reduce((a, b) => a * b, 1) })];
  });
  const storages = Object.fromEntries(entries.map(([, { bytes }], i) => [`${i}`, bytes]));
  return torchFileOf(pickle(dict([["model", dict(views)]])), storages);
}
