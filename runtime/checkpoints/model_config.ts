/** The few facts of a model's `config.json` that decide whether a merge is right. */
import { BOOLEAN, Fields, OBJECT, STRING } from "../json/fields.ts";
import { parseJson } from "../json/parse.ts";
import type { JsonObject } from "../json/value.ts";

/** What is read of a `config.json`; a field that is absent is null or false. */
export interface ModelConfig {
  /** The whole document, for writing it again with a change. */
  readonly document: JsonObject;
  /** `model_type`. */
  readonly modelType: string | null;
  /** `architectures[0]`. */
  readonly architecture: string | null;
  /** Output and input embedding are one weight, says the config. */
  readonly tied: boolean;
  /** Weights are stored quantised. */
  readonly quantized: boolean;
}

/** @throws {EtherError} `bad_config` */
export function parseModelConfig(bytes: Uint8Array, file: string): ModelConfig {
  const fields = Fields.ofDocument(parseJson(bytes, "bad_config", file), "bad_config", file);
  const text = fields.object.get("text_config");
  // A multimodal config keeps the language model's facts one level down.
  const parts = text instanceof Map ? [fields, fields.within("text_config")] : [fields];
  const architectures = fields.object.get("architectures");
  const first = Array.isArray(architectures) ? architectures[0] : undefined;
  return {
    document: fields.object,
    modelType: fields.nullable("model_type", STRING) ?? null,
    architecture: typeof first === "string" ? first : null,
    tied: parts.some((part) => part.nullable("tie_word_embeddings", BOOLEAN) === true),
    quantized: parts.some((part) => part.nullable("quantization_config", OBJECT) !== undefined),
  };
}
