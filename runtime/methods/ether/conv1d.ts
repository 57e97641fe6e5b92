/** GPT-2's Conv1D keeps W as [in, out]: a transformation of the wrong axis of a square one would go unnoticed. */
import type { Adapter } from "../../adapters/adapter.ts";
import type { ModelTensor } from "../../checkpoints/model.ts";
import type { Model } from "../../checkpoints/model.ts";
import { lastPart } from "../../checkpoints/module_path.ts";
import { EtherError } from "../../error.ts";

/** These are a Linear or an Embedding also in models of GPT-2's kin. */
const NEVER_CONV1D = ["wte", "wpe", "lm_head"];
const CONV1D_NAMES = ["c_attn", "c_fc", "c_proj"];
const GPT2_KIN = ["gpt2", "openai-gpt", "imagegpt", "decision_transformer"];

/** True where a model's type and a module's name say [in, out], with no adapter on it that knows. */
export function looksLikeConv1d(modulePath: string, modelType: string | null): boolean {
  return modelType !== null && GPT2_KIN.includes(modelType) && CONV1D_NAMES.includes(lastPart(modulePath));
}

/** True for a square target of a model that has no Conv1D: an adapter that takes it for one fits, on the wrong axis. */
export function doubtfulConv1d(modulePath: string, target: ModelTensor, model: Model): boolean {
  const [rowCount, columnCount] = target.info.shape;
  if (rowCount !== columnCount || NEVER_CONV1D.includes(lastPart(modulePath))) return false;
  const modelType = modelTypeOf(target, model);
  return modelType !== null && !GPT2_KIN.includes(modelType);
}

function modelTypeOf({ file }: ModelTensor, model: Model): string | null {
  return model.checkpoints.find(({ files }) => files.includes(file))?.config?.modelType ?? null;
}

/**
 * Is this target stored [in, out]?
 *
 * @throws {EtherError} `bad_config` where nothing says so and a square matrix would take either without a word
 */
export function isConv1d(
  fanInFanOut: boolean,
  modulePath: string,
  target: ModelTensor,
  model: Model,
  adapter: Adapter,
): boolean {
  if (fanInFanOut) return !NEVER_CONV1D.includes(lastPart(modulePath));
  const [rowCount, columnCount] = target.info.shape;
  if (rowCount !== columnCount || !CONV1D_NAMES.includes(lastPart(modulePath))) return false;
  const modelType = modelTypeOf(target, model);
  if (modelType !== null && !GPT2_KIN.includes(modelType)) return false;
  throw new EtherError("bad_config", `${target.info.name} is square and may be stored [in, out]`, {
    file: adapter.configName,
    tensor: target.info.name,
    field: "fan_in_fan_out",
    hint: "say fan_in_fan_out: true for a Conv1D; for a Linear the base's config.json must name its model_type",
  });
}
