import { EtherError } from "../error.ts";
import { LENGTH_PREFIX, MAX_HEADER_LENGTH } from "./header.ts";
import { tensorByteLength } from "./size.ts";
import { shapeText, type TensorInfo } from "./tensor_info.ts";

/** A tensor to be written: all of {@link TensorInfo} but its place, which its order decides. */
export type TensorEntry = Omit<TensorInfo, "offset">;

/** Data begins at a multiple of this, as the reference library has it, so that a mapped file is aligned. */
const ALIGNMENT = 8;

/**
 * Writes the header anew: 8 + N bytes, the tensors laid end to end in the order given. Equal inputs give equal bytes.
 * `__metadata__` comes first, and not at all if it is null or empty.
 *
 * @throws {EtherError} `bad_header` for what {@link parseHeader} would refuse: a name that is taken, reserved or no
 * Unicode, a size that does not fit dtype and shape, more than {@link MAX_HEADER_LENGTH} bytes
 */
export function encodeHeader(
  tensors: readonly TensorEntry[],
  metadata: ReadonlyMap<string, string> | null,
): Uint8Array<ArrayBuffer> {
  const members: string[] = [];
  if (metadata !== null && metadata.size > 0) members.push(`"__metadata__":${metadataText(metadata)}`);
  const names = new Set(["__metadata__"]);
  let begin = 0;
  for (const tensor of tensors) {
    checkTensor(tensor, names);
    const end = begin + tensor.byteLength;
    const shape = `[${shapeText(tensor)}]`;
    members.push(
      `${JSON.stringify(tensor.name)}:{"dtype":"${tensor.dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`,
    );
    begin = end;
  }
  const json = new TextEncoder().encode(`{${members.join(",")}}`);
  const headerLength = Math.ceil((LENGTH_PREFIX + json.byteLength) / ALIGNMENT) * ALIGNMENT;
  if (headerLength - LENGTH_PREFIX > MAX_HEADER_LENGTH) {
    throw new EtherError("bad_header", `the header takes more than the format's limit of ${MAX_HEADER_LENGTH} bytes`);
  }
  const bytes = new Uint8Array(headerLength).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength - LENGTH_PREFIX), true);
  bytes.set(json, LENGTH_PREFIX);
  return bytes;
}

function checkTensor(tensor: TensorEntry, names: Set<string>): void {
  const { name, dtype, byteLength } = tensor;
  if (!name.isWellFormed()) throw new EtherError("bad_header", "a name with a lone surrogate", { tensor: name });
  if (names.has(name)) throw new EtherError("bad_header", "a name that is taken", { tensor: name });
  names.add(name);
  const dimensions = tensor.exactShape ?? tensor.shape.map(BigInt);
  const expected = tensorByteLength(dtype, dimensions);
  if (expected !== BigInt(byteLength)) {
    const reason = typeof expected === "string" ? expected : `${byteLength} bytes for a tensor that takes ${expected}`;
    throw new EtherError("bad_header", `${reason}: ${dtype} [${shapeText(tensor)}]`, { tensor: name, field: "shape" });
  }
}

function metadataText(metadata: ReadonlyMap<string, string>): string {
  const entries = [...metadata].map(([key, value]) => {
    if (key.isWellFormed() && value.isWellFormed()) return `${JSON.stringify(key)}:${JSON.stringify(value)}`;
    throw new EtherError("bad_header", "a lone surrogate in the metadata", { field: "__metadata__" });
  });
  return `{${entries.join(",")}}`;
}
