/** `base_fingerprint`: which base an adapter was trained on. */
import type { Model } from "../checkpoints/model.ts";
import { sha256Hex } from "../io/digest.ts";
import { shapeText } from "../safetensors/tensor_info.ts";

/**
 * SHA-256 of the lines `name\tdtype\td0,d1\n` of all tensors of a base, sorted by their UTF-8 bytes, in hex.
 *
 * A tensor that two checkpoints of a diffusers repository have is there twice.
 */
export async function structureFingerprint(model: Model): Promise<string> {
  const lines: { readonly name: Uint8Array; readonly line: string }[] = [];
  const encoder = new TextEncoder();
  for (const [name, tensors] of model.tensors) {
    for (const { info } of tensors) {
      lines.push({ name: encoder.encode(name), line: `${name}\t${info.dtype}\t${shapeText(info)}\n` });
    }
  }
  lines.sort((a, b) => compareBytes(a.name, b.name));
  return await sha256Hex(encoder.encode(lines.map(({ line }) => line).join("")));
}

/** UTF-16 order, which `<` on strings gives, differs from UTF-8 order beyond the basic plane. */
function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    if (a[i] !== b[i]) return a[i]! - b[i]!;
  }
  return a.length - b.length;
}
