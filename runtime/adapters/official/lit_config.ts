/** `lit_config.json`: what lit-gpt says of the model that an official checkpoint was trained on. */
import type { HeadCounts } from "../../checkpoints/heads.ts";
import { BOOLEAN, Fields, OBJECT, POSITIVE_INTEGER, STRING } from "../../json/fields.ts";
import { parseJson } from "../../json/parse.ts";

/** What is read of it; the rest says nothing about an adapter. */
export interface LitConfig {
  /** `name`: `Llama-2-7b-hf`. */
  readonly name: string;
  /** `<org>/<name>` of the Hub, where the file has both. */
  readonly hubName: string | null;
  /** `_mlp_class`: `LLaMAMLP`, `GemmaMLP`, `LLaMAMoE`, `GptNeoxMLP`. */
  readonly mlpClass: string | null;
  readonly embedding: number;
  readonly intermediate: number;
  readonly heads: HeadCounts;
  /** Linear layers have a bias. */
  readonly bias: boolean;
  /** So has the head: Phi's alone. */
  readonly headBias: boolean;
}

/** @throws {EtherError} `bad_config` */
export function parseLitConfig(bytes: Uint8Array, file: string): LitConfig {
  const fields = Fields.ofDocument(parseJson(bytes, "bad_config", file), "bad_config", file);
  const embedding = fields.required("n_embd", POSITIVE_INTEGER);
  const numHeads = fields.required("n_head", POSITIVE_INTEGER);
  const numQueryGroups = fields.nullable("n_query_groups", POSITIVE_INTEGER) ?? numHeads;
  if (numHeads % numQueryGroups !== 0) {
    fields.fail("n_query_groups", `n_query_groups ${numQueryGroups} does not divide n_head ${numHeads}`);
  }
  const headSize = fields.nullable("head_size", POSITIVE_INTEGER) ?? embedding / numHeads;
  if (!Number.isInteger(headSize)) fields.fail("n_head", `n_head ${numHeads} does not divide n_embd ${embedding}`);
  const hub = fields.nullable("hf_config", OBJECT) === undefined ? null : fields.within("hf_config");
  // `org` stood beside `name` in older files.
  const org = hub?.nullable("org", STRING) ?? fields.nullable("org", STRING);
  const hubModel = hub?.nullable("name", STRING) ?? fields.nullable("name", STRING);
  const mlpClass = fields.nullable("_mlp_class", STRING) ?? null;
  return {
    name: fields.nullable("name", STRING) ?? hubModel ?? "",
    hubName: org === undefined || hubModel === undefined ? null : `${org}/${hubModel}`,
    mlpClass,
    embedding,
    // lit-gpt's own default.
    intermediate: fields.nullable("intermediate_size", POSITIVE_INTEGER) ?? 4 * embedding,
    heads: { numHeads, numQueryGroups, headSize },
    bias: fields.nullable("bias", BOOLEAN) ?? true,
    headBias: fields.nullable("lm_head_bias", BOOLEAN) ?? false,
  };
}
