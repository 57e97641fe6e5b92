/** Tied embeddings: an output head that is the input embedding's weight once more. */
import { EtherError } from "../error.ts";
import type { Model, ModelTensor } from "./model.ts";
import { lastPart } from "./module_path.ts";

const HEADS = ["lm_head", "embed_out"];
const EMBEDDINGS = ["embed_tokens", "wte", "word_embeddings", "embed_in"];
const WEIGHT = ".weight";

/** True for a module that is an output head. */
export function isHead(modulePath: string): boolean {
  return HEADS.includes(lastPart(modulePath));
}

/** What a model's files say of its head. */
export interface HeadState {
  /** The config says so, or there is an embedding and no head. */
  readonly tied: boolean;
  /** The head's own tensor, where there is one, tied or not. */
  readonly head: ModelTensor | null;
  /** The embeddings it may share; more than one in an encoder–decoder. */
  readonly embeddings: readonly ModelTensor[];
}

/** Looks for a model's head; a diffusers repository has none of its own. */
export function headState(model: Model): HeadState {
  const weights = [...model.tensors.values()].flat().filter(({ info }) => info.name.endsWith(WEIGHT));
  const module = ({ info }: ModelTensor) => lastPart(info.name.slice(0, -WEIGHT.length));
  const head = weights.find((tensor) => HEADS.includes(module(tensor))) ?? null;
  const embeddings = weights.filter((tensor) => EMBEDDINGS.includes(module(tensor)) && tensor.info.shape.length === 2);
  const said = model.checkpoints.some(({ config }) => config?.tied === true);
  return { tied: said || (head === null && embeddings.length > 0), head, embeddings };
}

/**
 * The head that a tied model gets when it is untied: its own tensor if the file has one, else one that starts from the
 * embedding's bytes, under the name that the architecture looks for.
 *
 * @throws {EtherError} `unsupported` where it is not clear which embedding is meant
 */
export function untiedHead(model: Model, { head, embeddings }: HeadState): ModelTensor {
  if (head !== null) return head;
  if (embeddings.length !== 1) {
    const names = embeddings.map(({ info }) => info.name).join(", ");
    throw new EtherError("unsupported", `cannot tell which embedding the head shares: ${names || "there is none"}`, {
      file: model.name,
      field: "--untie",
    });
  }
  const embedding = embeddings[0]!;
  return { file: embedding.file, info: { ...embedding.info, name: headName(embedding.info.name) } };
}

function headName(embedding: string): string {
  if (embedding.endsWith("embed_in.weight")) return "embed_out.weight";
  return embedding.startsWith("language_model.model.") ? "language_model.lm_head.weight" : "lm_head.weight";
}
