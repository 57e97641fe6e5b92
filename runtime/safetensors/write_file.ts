/** Writes a safetensors file of tensors that lie in another file, a megabyte at a time. */
import type { ByteSink } from "../io/sink.ts";
import type { ByteSource } from "../io/source.ts";
import { isFloatDtype } from "./dtype.ts";
import { gatherElements } from "./strided.ts";
import type { TensorInfo } from "./tensor_info.ts";
import { encodeHeader } from "./write.ts";

const PIECE_BYTES = 1 << 20;

/**
 * Writes tensors in the order given, with their bytes as they are; a view's elements come to lie in order.
 *
 * @returns the file's length
 * @throws {EtherError} `bad_header` for names that no header can have, `io_error`, `no_space`
 */
export async function writeTensorFile(
  source: ByteSource,
  tensors: readonly TensorInfo[],
  metadata: ReadonlyMap<string, string> | null,
  sink: ByteSink,
): Promise<number> {
  const header = encodeHeader(tensors, metadata);
  await sink.write(0, header);
  let end = header.byteLength;
  for (const tensor of tensors) {
    await copyTensor(source, tensor, end, sink);
    end += tensor.byteLength;
  }
  return end;
}

async function copyTensor(source: ByteSource, tensor: TensorInfo, at: number, sink: ByteSink): Promise<void> {
  const { dtype, strides, offset, byteLength } = tensor;
  if (strides !== undefined && isFloatDtype(dtype)) {
    const bytes = new Uint8Array(byteLength);
    await gatherElements(source, { ...tensor, dtype, strides }, bytes);
    return await sink.write(at, bytes);
  }
  const buffer = new Uint8Array(Math.min(byteLength, PIECE_BYTES));
  for (let done = 0; done < byteLength; done += buffer.byteLength) {
    const piece = buffer.subarray(0, Math.min(buffer.byteLength, byteLength - done));
    await source.read(offset + done, piece);
    await sink.write(at + done, piece);
  }
}
