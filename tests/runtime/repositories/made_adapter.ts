/** Small bases and adapters in memory. */
import { ADAPTER_TENSORS, BASE_TENSORS, etherConfig, type MadeTensor, tensorFile } from "../../commands/made_files.ts";
import type { Files } from "./memory_stores.ts";

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

/** An adapter's files. */
export function adapterFiles(
  fields: Readonly<Record<string, unknown>> = {},
  tensors: Readonly<Record<string, MadeTensor>> = ADAPTER_TENSORS,
): Files {
  return new Map([
    ["adapter_config.json", encode(etherConfig(fields))],
    ["adapter_model.safetensors", tensorFile(tensors)],
  ]);
}

/** A base of two shards; `up_proj`, which {@link adapterFiles} is about, is in the first. */
export function baseFiles(more: Readonly<Record<string, Uint8Array<ArrayBuffer>>> = {}): Files {
  const tensors = Object.entries<MadeTensor>(BASE_TENSORS);
  const shards = [tensors.slice(0, 3), tensors.slice(3)];
  const names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  const weightMap = Object.fromEntries(shards.flatMap((shard, i) => shard.map(([name]) => [name, names[i]!])));
  return new Map([
    ["config.json", encode({ model_type: "llama", tie_word_embeddings: false })],
    ["model.safetensors.index.json", encode({ metadata: { total_size: 1 }, weight_map: weightMap })],
    ...names.map((name, i) => [name, tensorFile(Object.fromEntries(shards[i]!))] as const),
    ...Object.entries(more),
  ]);
}
