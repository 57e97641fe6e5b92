/** Names that are looked for in a folder of a host that lists none. */

/** What a model or an adapter is found by. */
export const WEIGHT_NAMES: readonly string[] = [
  "model.safetensors",
  "model.safetensors.index.json",
  "diffusion_pytorch_model.safetensors",
  "diffusion_pytorch_model.safetensors.index.json",
  "adapter_model.safetensors",
  "lit_model_ether_finetuned.pth",
];

/** What comes along. */
export const SMALL_NAMES: readonly string[] = [
  "README.md",
  "LICENSE",
  "adapter_config.json",
  "added_tokens.json",
  "chat_template.jinja",
  "config.json",
  "generation_config.json",
  "lit_config.json",
  "merges.txt",
  "preprocessor_config.json",
  "processor_config.json",
  "special_tokens_map.json",
  "spiece.model",
  "tokenizer.json",
  "tokenizer.model",
  "tokenizer_config.json",
  "vocab.json",
  "vocab.txt",
];

/** What may be read beside a file that was named alone. */
export const COMPANION_NAMES: readonly string[] = ["adapter_config.json", "config.json", "lit_config.json"];
