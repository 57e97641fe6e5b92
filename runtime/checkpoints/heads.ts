/** How many attention heads a model has: what decides where q, k and v lie in a fused matrix. */
import { BOOLEAN, Fields, POSITIVE_INTEGER } from "../json/fields.ts";
import type { Checkpoint, Model } from "./model.ts";

/** How the rows of q, k and v are cut into heads. */
export interface HeadCounts {
  readonly numHeads: number;
  readonly numQueryGroups: number;
  readonly headSize: number;
}

/** `4 heads of 8 in 4 groups`. */
export function headsText({ numHeads, numQueryGroups, headSize }: HeadCounts): string {
  return `${numHeads} heads of ${headSize} in ${numQueryGroups} groups`;
}

/**
 * Reads them from `config.json`, by the names of those families that fuse the three.
 *
 * @returns null where the config does not say
 * @throws {EtherError} `bad_config`
 */
export function headsOfCheckpoint(model: Model, { config, folder }: Checkpoint): HeadCounts | null {
  if (config === null) return null;
  const fields = new Fields(config.document, "bad_config", `${model.name}/${folder}config.json`);
  const count = (...names: string[]) => {
    for (const name of names) {
      const value = fields.nullable(name, POSITIVE_INTEGER);
      if (value !== undefined) return value;
    }
    return undefined;
  };
  const numHeads = count("num_attention_heads", "n_head");
  const embedding = count("hidden_size");
  if (numHeads === undefined || embedding === undefined || embedding % numHeads !== 0) return null;
  // Falcon has one group, said or not, unless its config is of the newer kind, which counts them; its large model was
  // called RefinedWeb before, the small one RefinedWebModel.
  const modelType = config.modelType ?? "";
  const counted = fields.nullable("new_decoder_architecture", BOOLEAN) ?? modelType === "RefinedWeb";
  const multiQuery = fields.nullable("multi_query", BOOLEAN) ?? /^(falcon|RefinedWebModel)$/.test(modelType);
  const numQueryGroups = counted
    ? count("num_kv_heads", "n_head_kv") ?? numHeads
    : multiQuery
    ? 1
    : count("num_key_value_heads") ?? numHeads;
  return { numHeads, numQueryGroups, headSize: count("head_dim") ?? embedding / numHeads };
}
