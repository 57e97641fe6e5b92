import { decodeToFloat32 } from "../safetensors/decode.ts";
import type { OpenSource } from "../io/folder.ts";
import type { TensorRef } from "./op.ts";

/** Reads one adapter tensor and widens it to f32, exactly. */
export async function readTensor(openSource: OpenSource, ref: TensorRef): Promise<Float32Array<ArrayBuffer>> {
  const source = await openSource(ref.locator);
  try {
    const bytes = new Uint8Array(ref.byteLength);
    await source.read(ref.offset, bytes);
    return decodeToFloat32(ref.dtype, bytes);
  } finally {
    source.close();
  }
}
