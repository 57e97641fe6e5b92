/** `model.safetensors.index.json`: which shard holds which tensor. */
import { EtherError } from "../error.ts";
import { Fields, OBJECT, STRING } from "../json/fields.ts";
import { parseJson } from "../json/parse.ts";
import type { JsonObject } from "../json/value.ts";

/** A parsed index. */
export interface ShardIndex {
  /** The whole document, for writing it again with a change. */
  readonly document: JsonObject;
  /** Tensor name → shard, relative to the index. */
  readonly shardOf: ReadonlyMap<string, string>;
  /** The shards in order of name. */
  readonly shards: readonly string[];
}

/**
 * Reads an index. A shard is a file beside it: a name that could leave the folder is refused before it is looked up.
 *
 * @throws {EtherError} `bad_index`
 */
export function parseShardIndex(bytes: Uint8Array, file: string): ShardIndex {
  const fields = Fields.ofDocument(parseJson(bytes, "bad_index", file), "bad_index", file);
  const weightMap = new Fields(fields.required("weight_map", OBJECT), "bad_index", file, "weight_map");
  const shardOf = new Map<string, string>();
  for (const tensor of weightMap.object.keys()) {
    const shard = weightMap.required(tensor, STRING);
    const parts = shard.split("/");
    const escapes = parts.some((part) => part === "" || part === "." || part === ".." || /[\\:\0]/.test(part));
    if (escapes) {
      weightMap.fail(tensor, `${JSON.stringify(shard)} is not the name of a file beside the index`);
    }
    if (!shard.endsWith(".safetensors")) weightMap.fail(tensor, `${JSON.stringify(shard)} is not a safetensors file`);
    shardOf.set(tensor, shard);
  }
  if (shardOf.size === 0) fields.fail("weight_map", "weight_map names no tensor");
  return { document: fields.object, shardOf, shards: [...new Set(shardOf.values())].sort() };
}

/**
 * Every tensor in exactly the shard that the index says.
 *
 * @param inShard shard → names of the tensors that its header has
 * @throws {EtherError} `bad_index`
 */
export function checkShards(
  index: ShardIndex,
  inShard: ReadonlyMap<string, Iterable<string>>,
  file: string,
): void {
  const seen = new Set<string>();
  for (const [shard, tensors] of inShard) {
    for (const tensor of tensors) {
      const said = index.shardOf.get(tensor);
      if (said === shard) {
        seen.add(tensor);
        continue;
      }
      const message = said === undefined
        ? `${shard} holds a tensor that the index does not name`
        : `${shard} holds a tensor that the index puts into ${said}`;
      throw new EtherError("bad_index", message, { file, tensor, hint: "download the checkpoint again" });
    }
  }
  for (const [tensor, shard] of index.shardOf) {
    if (seen.has(tensor)) continue;
    const hint = "download the checkpoint again";
    throw new EtherError("bad_index", `${shard} does not hold this tensor`, { file, tensor, hint });
  }
}
