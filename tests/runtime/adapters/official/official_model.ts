/** A small model of a family: its Hugging Face base, an official checkpoint for it, and what a merge must give. */
import { crc32 } from "../../../../runtime/torch/crc32.ts";
import { type MadeTensor, makeFolder, tensorFile } from "../../../commands/made_files.ts";
import { type SavedTensor, torchFile } from "../../torch/torch_file.ts";
import { type Htype, type Matrix, mergeLinear, mergePart, type Parameters } from "./reference.ts";

/** Families that the tests make. */
export type FamilyName = "llama" | "gemma" | "mixtral" | "phi" | "gptNeox" | "falcon";

/** What is trained. */
export interface Training {
  readonly family: FamilyName;
  readonly type: Htype;
  readonly numBlocks: number;
  /** Some of `qkvpmh`. */
  readonly targets: string;
  readonly flipSide?: boolean;
  readonly numQueryGroups?: number;
  /** @default 24 */
  readonly intermediate?: number;
  /** Name of the folder. @default one that training does not give */
  readonly folderName?: string;
  /** In place of the fields of `lit_config.json`; null: there is none. */
  readonly litConfig?: Readonly<Record<string, unknown>> | null;
  /** The base's `config.json`. */
  readonly baseConfig?: Readonly<Record<string, unknown>>;
}

/** Paths and expectations. */
export interface OfficialModel {
  /** The base's folder. */
  readonly base: string;
  /** The `.pth`. */
  readonly checkpoint: string;
  /** `lit_config.json`, one folder above the checkpoint. */
  readonly litConfig: string;
  /** Base tensors as they must be merged, all of them. */
  readonly expected: ReadonlyMap<string, Matrix>;
  /** Names of those that the merge changes. */
  readonly changed: ReadonlySet<string>;
}

export const EMBEDDING = 16;
const HEADS = 4;
const HEAD_SIZE = EMBEDDING / HEADS;
const LAYERS = 2;
const EXPERTS = 2;
const VOCABULARY = 32;

/** Names as the issue's table has them, written out a second time. */
const NAMES: Readonly<Record<FamilyName, Readonly<Record<string, string>>>> = {
  llama: llamaNames(),
  gemma: llamaNames(),
  mixtral: {
    ...{ q: "model.layers.L.self_attn.q_proj", k: "model.layers.L.self_attn.k_proj" },
    ...{ v: "model.layers.L.self_attn.v_proj", "attn.proj": "model.layers.L.self_attn.o_proj" },
    ...{ "mlp.gate": "model.layers.L.block_sparse_moe.gate", "lm_head": "lm_head" },
    "mlp.experts.0.fc_1": "model.layers.L.block_sparse_moe.experts.0.w1",
    "mlp.experts.0.fc_2": "model.layers.L.block_sparse_moe.experts.0.w3",
    "mlp.experts.0.proj": "model.layers.L.block_sparse_moe.experts.0.w2",
    "mlp.experts.1.fc_1": "model.layers.L.block_sparse_moe.experts.1.w1",
    "mlp.experts.1.fc_2": "model.layers.L.block_sparse_moe.experts.1.w3",
    "mlp.experts.1.proj": "model.layers.L.block_sparse_moe.experts.1.w2",
  },
  phi: {
    ...{ q: "model.layers.L.self_attn.q_proj", k: "model.layers.L.self_attn.k_proj" },
    ...{ v: "model.layers.L.self_attn.v_proj", "attn.proj": "model.layers.L.self_attn.dense" },
    ...{ "mlp.fc": "model.layers.L.mlp.fc1", "mlp.proj": "model.layers.L.mlp.fc2", "lm_head": "lm_head" },
  },
  gptNeox: {
    ...{ qkv: "gpt_neox.layers.L.attention.query_key_value", "attn.proj": "gpt_neox.layers.L.attention.dense" },
    ...{ "mlp.fc": "gpt_neox.layers.L.mlp.dense_h_to_4h", "mlp.proj": "gpt_neox.layers.L.mlp.dense_4h_to_h" },
    "lm_head": "embed_out",
  },
  falcon: {
    ...{ qkv: "transformer.h.L.self_attention.query_key_value", "attn.proj": "transformer.h.L.self_attention.dense" },
    ...{ "mlp.fc": "transformer.h.L.mlp.dense_h_to_4h", "mlp.proj": "transformer.h.L.mlp.dense_4h_to_h" },
    "lm_head": "lm_head",
  },
};

function llamaNames(): Record<string, string> {
  return {
    ...{ q: "model.layers.L.self_attn.q_proj", k: "model.layers.L.self_attn.k_proj" },
    ...{ v: "model.layers.L.self_attn.v_proj", "attn.proj": "model.layers.L.self_attn.o_proj" },
    ...{ "mlp.fc_1": "model.layers.L.mlp.gate_proj", "mlp.fc_2": "model.layers.L.mlp.up_proj" },
    ...{ "mlp.proj": "model.layers.L.mlp.down_proj", "lm_head": "lm_head" },
  };
}

/** As lit-gpt's own configs have them. */
const LIT: Readonly<Record<FamilyName, Readonly<Record<string, unknown>>>> = {
  llama: { name: "Llama-2-7b-hf", _mlp_class: "LLaMAMLP", bias: false },
  gemma: { name: "Gemma-2b", _mlp_class: "GemmaMLP", bias: false },
  mixtral: { name: "Mixtral-8x7B-v0.1", _mlp_class: "LLaMAMoE", bias: false, n_expert: EXPERTS },
  phi: { name: "phi-1_5", _mlp_class: "GptNeoxMLP", bias: true, lm_head_bias: true },
  gptNeox: { name: "pythia-1b", _mlp_class: "GptNeoxMLP", bias: true, lm_head_bias: false },
  falcon: { name: "falcon-7b", _mlp_class: "GptNeoxMLP", bias: false, lm_head_bias: false },
};

/** Makes everything on disk. */
export function makeOfficial(training: Training): OfficialModel {
  const { family, type, numBlocks, targets, flipSide = false, intermediate = 24 } = training;
  const { numQueryGroups = HEADS, folderName = "run" } = training;
  const names = NAMES[family];
  const random = generator(crc32(new TextEncoder().encode(JSON.stringify(training))));
  const matrix = (rows: number, columns: number): Matrix => {
    return { rows, columns, values: Float64Array.from({ length: rows * columns }, random) };
  };
  const base = new Map<string, Matrix>();
  const expected = new Map<string, Matrix>();
  const changed = new Set<string>();
  const saved: Record<string, SavedTensor> = {};

  const save = (key: string, part: string, as: Htype, first: number, second: number): Parameters => {
    const dimensions = [first, first, second, second].slice(0, { ether: 1, etherplus: 2, etherplusHH: 4, oft: 1 }[as]);
    const values = dimensions.map((dimension, index) => {
      const n = dimension / numBlocks;
      const shape = [...part === "" ? [] : [1], numBlocks, n, ...as === "oft" ? [n] : []];
      const data = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, random);
      const name = `${key}.ether_R${index === 0 ? "" : index + 1}${part}`;
      saved[name] = { dtype: "F32", shape, bytes: new Uint8Array(data.buffer) };
      return Float64Array.from(data);
    });
    return { numBlocks, values };
  };
  const linear = (key: string, name: string, w: Matrix, isTarget: boolean, as: Htype, flip = false) => {
    base.set(`${name}.weight`, w);
    expected.set(`${name}.weight`, w);
    if (!isTarget) return;
    const flipped = flip && as !== "etherplusHH";
    const parameters = save(key, "", as, flipped ? w.rows : w.columns, flipped ? w.columns : w.rows);
    expected.set(`${name}.weight`, mergeLinear(w, as, parameters, flipped));
    changed.add(`${name}.weight`);
  };
  const attention = (layer: number) => {
    const key = `transformer.h.${layer}.attn.attn`;
    const perGroup = HEADS / numQueryGroups;
    const rowsOf = { q: EMBEDDING, k: numQueryGroups * HEAD_SIZE, v: numQueryGroups * HEAD_SIZE };
    const before = { q: matrix(rowsOf.q, EMBEDDING), k: matrix(rowsOf.k, EMBEDDING), v: matrix(rowsOf.v, EMBEDDING) };
    const after = { ...before };
    for (const part of ["q", "k", "v"] as const) {
      if (!targets.includes(part)) continue;
      after[part] = mergePart(before[part], type, save(key, part, type, rowsOf[part], EMBEDDING));
    }
    if (names.qkv === undefined) {
      for (const part of ["q", "k", "v"] as const) {
        const name = `${names[part]!.replace("L", `${layer}`)}.weight`;
        base.set(name, before[part]);
        expected.set(name, after[part]);
        if (targets.includes(part)) changed.add(name);
      }
      return;
    }
    // convert_hf_checkpoint: per group its q heads, k, v.
    const fuse = (parts: typeof before): Matrix => {
      const rows: number[] = [];
      for (let group = 0; group < numQueryGroups; group++) {
        const take = ({ values }: Matrix, heads: number) => {
          const size = heads * HEAD_SIZE * EMBEDDING;
          rows.push(...values.subarray(group * size, (group + 1) * size));
        };
        take(parts.q, perGroup);
        take(parts.k, 1);
        take(parts.v, 1);
      }
      return { rows: rows.length / EMBEDDING, columns: EMBEDDING, values: Float64Array.from(rows) };
    };
    const name = `${names.qkv.replace("L", `${layer}`)}.weight`;
    base.set(name, fuse(before));
    expected.set(name, fuse(after));
    if (/[qkv]/.test(targets)) changed.add(name);
  };

  for (let layer = 0; layer < LAYERS; layer++) {
    attention(layer);
    for (const [kind, template] of Object.entries(names)) {
      if (kind === "lm_head" || /^(q|k|v|qkv)$/.test(kind)) continue;
      const isProjection = kind.endsWith("proj") && kind !== "attn.proj";
      const shape = kind === "attn.proj"
        ? [EMBEDDING, EMBEDDING]
        : kind === "mlp.gate"
        ? [EXPERTS, EMBEDDING]
        : isProjection
        ? [EMBEDDING, intermediate]
        : [intermediate, EMBEDDING];
      linear(
        `transformer.h.${layer}.${kind}`,
        template.replace("L", `${layer}`),
        matrix(shape[0]!, shape[1]!),
        targets.includes(kind === "attn.proj" ? "p" : "m"),
        kind === "mlp.gate" ? "ether" : type,
        flipSide && isProjection,
      );
    }
  }
  const embedding = family === "gptNeox" ? "gpt_neox.embed_in" : "model.embed_tokens";
  linear("", embedding, matrix(VOCABULARY, EMBEDDING), false, type);
  linear("lm_head", names.lm_head!, matrix(VOCABULARY, EMBEDDING), targets.includes("h"), type);
  if (family === "gemma") base.delete("lm_head.weight");

  const tensors = [...base].map(([name, { rows, columns, values }]): [string, MadeTensor] => {
    return [name, { dtype: "F32", shape: [rows, columns], bytes: new Uint8Array(Float32Array.from(values).buffer) }];
  });
  const config = { model_type: family, ...family === "gemma" ? { tie_word_embeddings: true } : {} };
  const lit = {
    ...{ hf_config: { org: "tiny", name: LIT[family].name }, n_embd: EMBEDDING, n_head: HEADS, head_size: HEAD_SIZE },
    ...{ n_query_groups: numQueryGroups, intermediate_size: intermediate, n_layer: LAYERS, lm_head_bias: false },
    ...LIT[family],
    ...training.litConfig,
  };
  const runs = makeFolder({
    [`${folderName}/lit_model_ether_finetuned.pth`]: torchFile(saved),
    ...training.litConfig === null ? {} : { "lit_config.json": lit },
  }, "runs");
  return {
    base: makeFolder({
      "model.safetensors": tensorFile(Object.fromEntries(tensors)),
      "config.json": { ...config, ...training.baseConfig },
    }, "base"),
    ...{ checkpoint: `${runs}/${folderName}/lit_model_ether_finetuned.pth`, litConfig: `${runs}/lit_config.json` },
    ...{ expected, changed },
  };
}

/** Numbers from −1 to 1 that an f32 holds exactly, the same for the same seed. */
function generator(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0;
    return Math.fround((state >>> 8) / 2 ** 23 - 1 || 0.5);
  };
}
