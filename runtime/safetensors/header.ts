import { EtherError } from "../error.ts";
import { JsonCursor } from "../json/cursor.ts";
import { clip, quote } from "../json/quote.ts";
import { type Dtype, DTYPE_BITS } from "./dtype.ts";
import { tensorByteLength, U64_LIMIT } from "./size.ts";
import type { TensorInfo } from "./tensor_info.ts";

/** The reference library's limit on N: no real header has a tenth, and a claim must not decide what we allocate. */
export const MAX_HEADER_LENGTH = 100_000_000;

/** The bytes of N itself. */
export const LENGTH_PREFIX = 8;

/** The most of a hostile tensor name that an error carries. */
const NAMED_LENGTH = 200;

/** What a safetensors file says about itself. */
export interface SafetensorsHeader {
  /** 8 + N: where the data begins. */
  readonly headerLength: number;
  /** In the order of their bytes; at one place those of no bytes come first, in the header's order. */
  readonly tensors: readonly TensorInfo[];
  /** The tensors by name. */
  readonly byName: ReadonlyMap<string, TensorInfo>;
  /** `__metadata__` in its order; null where it is absent or null, which mean the same. */
  readonly metadata: ReadonlyMap<string, string> | null;
}

/**
 * Length of the header with its eight bytes of length: 8 + N.
 *
 * @param start     the file's first 8 bytes (or more; or fewer, if the file has fewer)
 * @param fileSize  bytes, as the storage says
 * @throws {EtherError} `bad_header` if the file is too short for the length, or N is above {@link MAX_HEADER_LENGTH} or
 * passes the file's end
 */
export function headerByteLength(start: Uint8Array, fileSize: number, file: string): number {
  if (fileSize < LENGTH_PREFIX || start.byteLength < LENGTH_PREFIX) {
    throw new EtherError("bad_header", `the file has ${fileSize} bytes; the header's length alone takes 8`, { file });
  }
  const claimed = new DataView(start.buffer, start.byteOffset, LENGTH_PREFIX).getBigUint64(0, true);
  if (claimed > BigInt(MAX_HEADER_LENGTH)) {
    const reason = `the header's length is ${claimed}, above the format's limit of ${MAX_HEADER_LENGTH}`;
    throw new EtherError("bad_header", reason, { file, hint: "the file may not be safetensors at all" });
  }
  const headerLength = LENGTH_PREFIX + Number(claimed);
  if (headerLength > fileSize) {
    const reason = `the header's length is ${claimed}, but only ${fileSize - LENGTH_PREFIX} bytes follow`;
    throw new EtherError("bad_header", reason, { file, hint: "the file may be cut short" });
  }
  return headerLength;
}

/**
 * Parses a header, refusing whatever the reference library refuses (huggingface/safetensors 0.8, `tensor.rs`) and what it
 * lets pass by accident: duplicate names, a tensor written as a list, a dtype written as an object.
 *
 * Checked in this order: length, UTF-8, JSON (whole, before anything is looked at), `__metadata__` and each tensor as
 * they stand, then the layout of the data.
 *
 * @param bytes     the file's first 8 + N bytes, or more
 * @param fileSize  bytes, as the storage says: sizes come from there, never from a claim
 * @throws {EtherError} `bad_header` with the reason, and the tensor and field where one is at fault
 */
export function parseHeader(bytes: Uint8Array, fileSize: number, file: string): SafetensorsHeader {
  const headerLength = headerByteLength(bytes, fileSize, file);
  if (bytes.byteLength < headerLength) {
    throw new RangeError(`parseHeader was given ${bytes.byteLength} of ${headerLength} bytes`);
  }
  const json = bytes.subarray(LENGTH_PREFIX, headerLength);
  const whole = new JsonCursor(json, "bad_header", file, LENGTH_PREFIX);
  whole.skip();
  whole.end();

  const cursor = new JsonCursor(json, "bad_header", file, LENGTH_PREFIX);
  const tensors: TensorInfo[] = [];
  let metadata: Map<string, string> | null = null;
  if (cursor.kind() !== "object") cursor.fail("the header is not an object");
  cursor.enterObject();
  for (let name = cursor.nextKey(); name !== undefined; name = cursor.nextKey()) {
    if (name === "__metadata__") metadata = readMetadata(cursor, file);
    else tensors.push(readTensor(cursor, name, headerLength, fileSize, file));
  }

  tensors.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength); // stable: ties keep the header's order
  checkLayout(tensors, headerLength, fileSize, file);
  const byName = new Map<string, TensorInfo>();
  for (const tensor of tensors) byName.set(tensor.name, tensor);
  return { headerLength, tensors, byName, metadata };
}

function readMetadata(cursor: JsonCursor, file: string): Map<string, string> | null {
  const field = "__metadata__";
  const kind = cursor.kind();
  if (kind === "null") {
    cursor.null();
    return null;
  }
  if (kind !== "object") {
    throw new EtherError("bad_header", `__metadata__ is ${article(kind)}, not an object`, { file, field });
  }
  const metadata = new Map<string, string>();
  cursor.enterObject();
  for (let key = cursor.nextKey(); key !== undefined; key = cursor.nextKey()) {
    const valueKind = cursor.kind();
    if (valueKind !== "string") {
      const reason = `__metadata__ has ${article(valueKind)} under ${quote(key)}, not a string`;
      throw new EtherError("bad_header", reason, { file, field });
    }
    metadata.set(key, cursor.string());
  }
  return metadata;
}

function readTensor(
  cursor: JsonCursor,
  name: string,
  headerLength: number,
  fileSize: number,
  file: string,
): TensorInfo {
  const fail = (field: string | undefined, reason: string, hint?: string): never => {
    throw new EtherError("bad_header", reason, { file, tensor: clip(name, NAMED_LENGTH), field, hint });
  };
  const tensorKind = cursor.kind();
  if (tensorKind !== "object") fail(undefined, `the tensor is ${article(tensorKind)}, not an object`);

  let dtype: Dtype | undefined;
  let dimensions: bigint[] | undefined;
  let offsets: bigint[] | undefined;
  cursor.enterObject();
  for (let field = cursor.nextKey(); field !== undefined; field = cursor.nextKey()) {
    if (field === "dtype") dtype = readDtype(cursor, fail);
    else if (field === "shape") dimensions = readIntegers(cursor, field, fail);
    else if (field === "data_offsets") offsets = readIntegers(cursor, field, fail);
    else cursor.skip();
  }
  if (dtype === undefined) return fail("dtype", "the tensor has no dtype");
  if (dimensions === undefined) return fail("shape", "the tensor has no shape");
  if (offsets === undefined) return fail("data_offsets", "the tensor has no data_offsets");

  const [begin, end] = offsets;
  if (begin === undefined || end === undefined || offsets.length > 2) {
    return fail("data_offsets", `data_offsets has ${offsets.length} numbers, not 2`);
  }
  const byteLength = tensorByteLength(dtype, dimensions);
  if (typeof byteLength === "string") return fail("shape", `${byteLength}: ${describeShape(dtype, dimensions)}`);
  if (end < begin) fail("data_offsets", `data_offsets [${begin}, ${end}] end before they begin`);
  const dataLength = fileSize - headerLength;
  if (end > BigInt(dataLength)) {
    const reason = `data_offsets [${begin}, ${end}] pass the end of the data, which has ${dataLength} bytes`;
    fail("data_offsets", reason, "the file may be cut short");
  }
  if (end - begin !== byteLength) {
    const reason = `data_offsets [${begin}, ${end}] hold ${end - begin} bytes, but ${describeShape(dtype, dimensions)}`;
    fail("data_offsets", `${reason} takes ${byteLength}`);
  }

  const shape = dimensions.map(Number);
  const tensor = { name, dtype, shape, offset: headerLength + Number(begin), byteLength: Number(byteLength) };
  return shape.every(Number.isSafeInteger) ? tensor : { ...tensor, exactShape: dimensions };
}

type Fail = (field: string | undefined, reason: string) => never;

function readDtype(cursor: JsonCursor, fail: Fail): Dtype {
  const kind = cursor.kind();
  if (kind !== "string") return fail("dtype", `dtype is ${article(kind)}, not a string`);
  const dtype = cursor.string();
  return Object.hasOwn(DTYPE_BITS, dtype) ? dtype as Dtype : fail("dtype", `unknown dtype ${quote(dtype)}`);
}

function readIntegers(cursor: JsonCursor, field: string, fail: Fail): bigint[] {
  const kind = cursor.kind();
  if (kind !== "array") return fail(field, `${field} is ${article(kind)}, not a list`);
  const integers: bigint[] = [];
  cursor.enterArray();
  while (cursor.nextItem()) {
    const itemKind = cursor.kind();
    if (itemKind !== "number") return fail(field, `${field} holds ${article(itemKind)}, not an integer`);
    const text = cursor.number();
    // The grammar has no leading zeros, so digits alone are a plain integer, and 21 of them are above 2^64.
    const integer = /^[0-9]{1,20}$/.test(text) ? BigInt(text) : U64_LIMIT;
    if (integer >= U64_LIMIT) {
      return fail(field, `${field} holds ${clip(text, 40)}, not a plain integer from 0 to 2^64 - 1`);
    }
    integers.push(integer);
  }
  return integers;
}

/** Refuses tensors, sorted by offset, that do not tile the data from its start to the file's end. */
function checkLayout(tensors: readonly TensorInfo[], headerLength: number, fileSize: number, file: string): void {
  let end = headerLength;
  for (const { name, offset, byteLength } of tensors) {
    if (offset !== end) {
      const [begin, previous] = [offset - headerLength, end - headerLength];
      const reason = offset > end
        ? `data_offsets begin at ${begin}, leaving a hole from ${previous}`
        : `data_offsets begin at ${begin}, overlapping what ends at ${previous}`;
      throw new EtherError("bad_header", reason, { file, tensor: clip(name, NAMED_LENGTH), field: "data_offsets" });
    }
    end += byteLength;
  }
  if (end !== fileSize) {
    const reason = `the tensors end at byte ${end}, the file at ${fileSize}: ${fileSize - end} bytes belong to nothing`;
    throw new EtherError("bad_header", reason, { file });
  }
}

function describeShape(dtype: Dtype, dimensions: readonly bigint[]): string {
  return `${dtype} [${clip(dimensions.slice(0, 10).join(", "), 100)}${dimensions.length > 10 ? ", …" : ""}]`;
}

function article(kind: string): string {
  if (kind === "null" || kind === "boolean") return kind;
  return kind === "object" || kind === "array" ? `an ${kind}` : `a ${kind}`;
}
