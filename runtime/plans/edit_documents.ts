/** The changes that a merge makes to a checkpoint's config and index; everything else in them stays as it was written. */
import type { Checkpoint, ModelTensor } from "../checkpoints/model.ts";
import { JsonNumber, type JsonObject } from "../json/value.ts";
import { writeJson } from "../json/write.ts";
import type { FloatDtype } from "../safetensors/dtype.ts";

/** What a merge changes. */
export interface DocumentEdits {
  /** The dtype of every float tensor, or null where each keeps its own. */
  readonly dtype: FloatDtype | null;
  /** The config's tie is cut. */
  readonly untie: boolean;
  /** A head that the index must name. */
  readonly newHead: ModelTensor | null;
  /** Bytes of all tensors of the output. */
  readonly totalSize: number;
}

const TORCH_NAMES: Readonly<Record<FloatDtype, string>> = { F32: "float32", F16: "float16", BF16: "bfloat16" };

/** The config with `dtype` / `torch_dtype` and `tie_word_embeddings` set; null where nothing changes or there is none. */
export function editConfig({ config }: Checkpoint, { dtype, untie }: DocumentEdits): Uint8Array<ArrayBuffer> | null {
  if (config === null || (dtype === null && !untie)) return null;
  const document: JsonObject = new Map(config.document);
  const text = document.get("text_config");
  const parts = [document];
  if (text instanceof Map) {
    const copy: JsonObject = new Map(text);
    document.set("text_config", copy);
    parts.push(copy);
  }
  for (const part of parts) {
    if (dtype !== null) {
      const fields = ["dtype", "torch_dtype"].filter((field) => part.has(field));
      if (fields.length === 0 && part === document) fields.push("dtype");
      for (const field of fields) part.set(field, TORCH_NAMES[dtype]);
    }
    if (untie && (part === document || part.has("tie_word_embeddings"))) part.set("tie_word_embeddings", false);
  }
  return encode(document);
}

/** The index with `total_size` and a new head; null where nothing changes or there is none. */
export function editIndex({ index }: Checkpoint, edits: DocumentEdits): Uint8Array<ArrayBuffer> | null {
  if (index === null || (edits.dtype === null && edits.newHead === null)) return null;
  const document: JsonObject = new Map(index.document);
  const metadata = document.get("metadata");
  if (metadata instanceof Map) {
    const copy: JsonObject = new Map(metadata);
    if (copy.has("total_size")) copy.set("total_size", JsonNumber.ofInteger(edits.totalSize));
    const parameters = copy.get("total_parameters");
    if (edits.newHead !== null && parameters instanceof JsonNumber) {
      const added = edits.newHead.info.shape.reduce((product, size) => product * size, 1);
      copy.set("total_parameters", JsonNumber.ofInteger(parameters.value + added));
    }
    document.set("metadata", copy);
  }
  const weightMap = document.get("weight_map");
  if (edits.newHead !== null && weightMap instanceof Map) {
    const shard = edits.newHead.file.path.slice(index.entry.path.lastIndexOf("/") + 1);
    document.set("weight_map", new Map(weightMap).set(edits.newHead.info.name, shard));
  }
  return encode(document);
}

function encode(document: JsonObject): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${writeJson(document, 2)}\n`);
}
