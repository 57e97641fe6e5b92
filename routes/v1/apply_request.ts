/** The body of `POST /v1/apply`: activations by module, and which adapter each token is for. */
import { EtherError } from "../../runtime/error.ts";
import { quote } from "../../runtime/json/quote.ts";
import { widenToFloat32 } from "../../runtime/safetensors/decode.ts";
import { type FloatDtype, isFloatDtype } from "../../runtime/safetensors/dtype.ts";
import { headerByteLength, LENGTH_PREFIX, parseHeader } from "../../runtime/safetensors/header.ts";
import type { TensorInfo } from "../../runtime/safetensors/tensor_info.ts";

/** What messages call the body. */
const BODY = "the body";
/** A header's parsed form takes many times its bytes. */
const MAX_HEADER_BYTES = 1024 * 1024;
/** More modules than any model has layers to apply at once. */
const MAX_MODULES = 4096;
const ROWS = ".rows";

/** The activations of one module. */
export interface Activations {
  readonly module: string;
  readonly tokenCount: number;
  readonly dimension: number;
  readonly dtype: FloatDtype;
  /** As they came, `[tokens, dimension]`. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** For each token the index of its adapter or −1; null: all adapters, in order. */
  readonly rows: Int32Array<ArrayBuffer> | null;
}

/**
 * Reads a body strictly: every tensor has a use, and every shape fits.
 *
 * @throws {EtherError} `bad_header`, `bad_shape`, `unsupported_dtype`, `unused_tensor`, `too_large`
 */
export function readActivations(bytes: Uint8Array<ArrayBuffer>): Activations[] {
  const start = bytes.subarray(0, LENGTH_PREFIX);
  const headerLength = headerByteLength(start, bytes.byteLength, BODY);
  if (headerLength > MAX_HEADER_BYTES) {
    throw new EtherError("too_large", `a header of ${headerLength} bytes is above ${MAX_HEADER_BYTES}`, { file: BODY });
  }
  const { tensors, byName } = parseHeader(bytes, bytes.byteLength, BODY);
  const isRows = ({ name }: TensorInfo) => name.endsWith(ROWS) && byName.has(name.slice(0, -ROWS.length));
  const modules = tensors.filter((tensor) => !isRows(tensor));
  if (modules.length > MAX_MODULES) {
    throw new EtherError("too_large", `${modules.length} modules are more than ${MAX_MODULES}`, { file: BODY });
  }
  return modules.map((tensor) => {
    const { name: module, dtype, shape } = tensor;
    const place = { file: BODY, tensor: module };
    if (!isFloatDtype(dtype)) {
      const orphan = dtype === "I32" && module.endsWith(ROWS);
      if (orphan) throw new EtherError("unused_tensor", "there are no activations that these rows are of", place);
      throw new EtherError("unsupported_dtype", `dtype ${dtype}, not F32, F16 or BF16`, place);
    }
    const [tokenCount, dimension] = shape;
    if (tokenCount === undefined || dimension === undefined || shape.length > 2 || !shape.every(Number.isSafeInteger)) {
      throw new EtherError("bad_shape", `shape [${shape.slice(0, 8).join(", ")}], not [tokens, dimension]`, place);
    }
    // No bytes say how many there are: the count would be a claim.
    if (tokenCount > 0 && dimension === 0) throw new EtherError("bad_shape", "activations of dimension 0", place);
    const rows = byName.get(`${module}${ROWS}`);
    return {
      ...{ module, tokenCount, dimension, dtype, bytes: bytesOf(bytes, tensor) },
      rows: rows === undefined ? null : readRows(rows, tokenCount, bytes),
    };
  });
}

/** f32 `[tokens, dimension]`. */
export function widened({ bytes, dtype, tokenCount, dimension }: Activations): Float32Array<ArrayBuffer> {
  const values = new Float32Array(tokenCount * dimension);
  widenToFloat32(dtype, bytes, values);
  return values;
}

function readRows(tensor: TensorInfo, tokenCount: number, bytes: Uint8Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const { name, dtype, shape } = tensor;
  const place = { file: BODY, tensor: name };
  if (dtype !== "I32") throw new EtherError("unsupported_dtype", `dtype ${dtype}, not I32`, place);
  if (shape.length !== 1 || shape[0] !== tokenCount) {
    throw new EtherError("bad_shape", `shape [${shape.slice(0, 8).join(", ")}], not [${tokenCount}]`, place);
  }
  const own = bytesOf(bytes, tensor);
  const view = new DataView(own.buffer, own.byteOffset, own.byteLength);
  return Int32Array.from({ length: tokenCount }, (_, i) => view.getInt32(4 * i, true));
}

function bytesOf(bytes: Uint8Array<ArrayBuffer>, { offset, byteLength }: TensorInfo): Uint8Array<ArrayBuffer> {
  return bytes.subarray(offset, offset + byteLength);
}

/** Refuses activations whose dimension the module does not have; null is not known. @throws {EtherError} `bad_shape` */
export function checkDimension({ module, dimension, tokenCount }: Activations, expected: number | null): void {
  if (expected === null || dimension === expected || (tokenCount === 0 && dimension === 0)) return;
  const message = `activations of dimension ${dimension}; ${quote(module)} has ${expected}`;
  throw new EtherError("bad_shape", message, { file: BODY, tensor: module });
}
