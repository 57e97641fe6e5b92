/** Which tensors of a Hugging Face model lit-gpt's modules are: the tables of `scripts/convert_hf_checkpoint.py`. */
import type { Model } from "../../checkpoints/model.ts";
import type { LitConfig } from "./lit_config.ts";

/** A module of lit-gpt's GPT, without its layer and expert. */
export type LitModuleKind =
  | "attn.attn"
  | "attn.proj"
  | "mlp.fc"
  | "mlp.fc_1"
  | "mlp.fc_2"
  | "mlp.proj"
  | "mlp.gate"
  | "mlp.experts.fc_1"
  | "mlp.experts.fc_2"
  | "mlp.experts.proj"
  | "lm_head";

/** One family of models. */
export interface Family {
  readonly name: string;
  /** Paths of its modules; `{l}` is the layer, `{e}` the expert, `{p}` q, k or v where these are separate matrices. */
  readonly modules: Readonly<Partial<Record<LitModuleKind, string>>>;
  /** q, k and v are one matrix, `attn.attn`'s, in lit-gpt's order: for each query group q…, k, v. */
  readonly fused: boolean;
  /** A tensor that only this family has; looked for in the order of {@link FAMILIES}. */
  readonly mark: RegExp;
}

const SEPARATE = "model.layers.{l}.self_attn.{p}_proj";
const LLAMA_ATTENTION = { "attn.attn": SEPARATE, "attn.proj": "model.layers.{l}.self_attn.o_proj" } as const;

/** The families, each mark before those that it would also fit. */
export const FAMILIES = {
  mixtral: {
    name: "Mixtral",
    fused: false,
    mark: /(^|\.)block_sparse_moe\.gate\.weight$/,
    modules: {
      ...LLAMA_ATTENTION,
      "mlp.experts.fc_1": "model.layers.{l}.block_sparse_moe.experts.{e}.w1",
      "mlp.experts.fc_2": "model.layers.{l}.block_sparse_moe.experts.{e}.w3",
      "mlp.experts.proj": "model.layers.{l}.block_sparse_moe.experts.{e}.w2",
      "mlp.gate": "model.layers.{l}.block_sparse_moe.gate",
      "lm_head": "lm_head",
    },
  },
  llama: {
    name: "Llama",
    fused: false,
    mark: /(^|\.)self_attn\.o_proj\.weight$/,
    modules: {
      ...LLAMA_ATTENTION,
      "mlp.fc_1": "model.layers.{l}.mlp.gate_proj",
      "mlp.fc_2": "model.layers.{l}.mlp.up_proj",
      "mlp.proj": "model.layers.{l}.mlp.down_proj",
      "lm_head": "lm_head",
    },
  },
  phi: {
    name: "Phi",
    fused: false,
    mark: /(^|\.)self_attn\.dense\.weight$/,
    modules: {
      "attn.attn": SEPARATE,
      "attn.proj": "model.layers.{l}.self_attn.dense",
      "mlp.fc": "model.layers.{l}.mlp.fc1",
      "mlp.proj": "model.layers.{l}.mlp.fc2",
      "lm_head": "lm_head",
    },
  },
  falcon: {
    name: "Falcon",
    fused: true,
    mark: /(^|\.)self_attention\.query_key_value\.weight$/,
    modules: {
      "attn.attn": "transformer.h.{l}.self_attention.query_key_value",
      "attn.proj": "transformer.h.{l}.self_attention.dense",
      "mlp.fc": "transformer.h.{l}.mlp.dense_h_to_4h",
      "mlp.proj": "transformer.h.{l}.mlp.dense_4h_to_h",
      "lm_head": "lm_head",
    },
  },
  gptNeox: {
    name: "GPT-NeoX",
    fused: true,
    mark: /(^|\.)attention\.query_key_value\.weight$/,
    modules: {
      "attn.attn": "gpt_neox.layers.{l}.attention.query_key_value",
      "attn.proj": "gpt_neox.layers.{l}.attention.dense",
      "mlp.fc": "gpt_neox.layers.{l}.mlp.dense_h_to_4h",
      "mlp.proj": "gpt_neox.layers.{l}.mlp.dense_4h_to_h",
      "lm_head": "embed_out",
    },
  },
} as const satisfies Record<string, Family>;

/** The family that a base's tensors have the names of, or null. */
export function familyOfModel(model: Model): Family | null {
  const names = [...model.tensors.keys()];
  return Object.values(FAMILIES).find(({ mark }) => names.some((name) => mark.test(name))) ?? null;
}

/**
 * The family that a `lit_config.json` means, or null where it could be several. lit-gpt itself decides by the class of
 * the MLP and, among those of one class, by words in the model's name.
 */
export function familyOfConfig({ name, hubName, mlpClass, bias, headBias }: LitConfig): Family | null {
  if (mlpClass === "LLaMAMLP" || mlpClass === "GemmaMLP") return FAMILIES.llama;
  if (mlpClass === "LLaMAMoE") return FAMILIES.mixtral;
  if (mlpClass !== "GptNeoxMLP") return null;
  const isCalled = (word: RegExp) => [name, hubName ?? ""].some((text) => word.test(text));
  if (isCalled(/falcon/i)) return FAMILIES.falcon;
  // Not "dolphin".
  if (isCalled(/(^|[^a-z])phi([^a-z]|$)/i)) return FAMILIES.phi;
  // Falcon has no bias, Phi one in its head: a model of another name with either is nobody's.
  return bias && !headBias ? FAMILIES.gptNeox : null;
}

/** A module's path in the Hugging Face model. */
export function modulePath(template: string, layer: string, expert: string, part: string): string {
  return template.replace("{l}", layer).replace("{e}", expert).replace("{p}", part);
}
