import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { fileRole, findWeightSets } from "../../../runtime/checkpoints/weight_set.ts";
import { EtherError } from "../../../runtime/error.ts";

const entries = (...paths: string[]) => paths.map((path) => ({ path, size: 1 }));

/** What a folder holds, and the files or indexes of its weight sets. */
const SETS: Readonly<Record<string, readonly [paths: readonly string[], sets: readonly string[]]>> = {
  "one file": [["config.json", "model.safetensors"], ["model.safetensors"]],
  "an index": [["model-1.safetensors", "model.safetensors.index.json"], ["model.safetensors.index.json"]],
  "one file before an index": [["model.safetensors", "model.safetensors.index.json"], ["model.safetensors"]],
  "model before diffusion_pytorch_model": [
    ["diffusion_pytorch_model.safetensors", "model.safetensors.index.json"],
    ["model.safetensors.index.json"],
  ],
  "one part of a diffusers repository": [
    ["diffusion_pytorch_model.safetensors.index.json"],
    ["diffusion_pytorch_model.safetensors.index.json"],
  ],
  "a diffusers repository": [
    [
      "model_index.json",
      "unet/diffusion_pytorch_model.safetensors",
      "te/model.safetensors",
      "te/deep/model.safetensors",
    ],
    ["unet/diffusion_pytorch_model.safetensors", "te/model.safetensors"],
  ],
  "a variant is not the weight set": [["model.fp16.safetensors", "model.safetensors"], ["model.safetensors"]],
};

for (const [name, [paths, sets]] of Object.entries(SETS)) {
  Deno.test(`findWeightSets: ${name}`, () => {
    assertEquals(findWeightSets("f", entries(...paths)).map(({ file, index }) => (file ?? index)!.path), [...sets]);
  });
}

/** What a folder without a weight set holds, and what its user is told. */
const NONE: readonly (readonly [paths: readonly string[], told: RegExp])[] = [
  [["pytorch_model.bin"], /only pytorch_model\.bin; convert it with .*safe_serialization=True/],
  [["model-q4.gguf"], /only model-q4\.gguf; load it with transformers'.*gguf_file/],
  [["rust_model.ot"], /only rust_model\.ot; export/],
  [
    ["iter-000100-ckpt.pth"],
    /only iter-000100-ckpt\.pth; an official ETHER checkpoint goes with --adapter, as the file/,
  ],
  [["tf_model.h5"], /only tf_model\.h5; .*from_tf/],
  [["model.onnx"], /only model\.onnx; export/],
  [["weights.safetensors"], /no model\.safetensors and no .*index\.json; to use weights\.safetensors, name that file/],
  [["unet/diffusion_pytorch_model.safetensors"], /name that file/],
  [["adapter_config.json", "adapter_model.safetensors"], /this is an adapter; .*--adapter/],
  [["config.json"], /no safetensors weights; name a folder with model\.safetensors/],
  [[], /no safetensors weights; name a folder/],
];

for (const [paths, told] of NONE) {
  Deno.test(`findWeightSets: ${paths.join(" and ") || "an empty folder"} is unsupported_format`, () => {
    const error = assertThrows(() => findWeightSets("f", entries(...paths)), EtherError);
    assertEquals([error.code, error.file], ["unsupported_format", "f"]);
    assertMatch(error.toLine(), told);
  });
}

const ROLES: Readonly<Record<ReturnType<typeof fileRole>, readonly string[]>> = {
  small: [
    ...[
      "config.json",
      "tokenizer.model",
      "README.md",
      "LICENSE",
      "merges.txt",
      "chat_template.jinja",
      "sub/vocab.json",
    ],
    ...["original.json", "not_original/x.json", "binary.binx", "my.index.json", "adapter_config.json.md"],
  ],
  weights: [
    ...[
      "model.bin",
      "MODEL.BIN",
      "a/b.pth",
      "x.ckpt",
      "x.pt",
      "x.gguf",
      "x.onnx",
      "x.onnx_data",
      "x.onnx.data",
      "x.h5",
      "rust_model.ot",
      "x.nemo",
    ],
    ...["x.msgpack", "x.tflite", "x.npz", "other.safetensors", "original/params.json", "a/original/x.txt"],
    ...["pytorch_model.bin.index.json", "model.safetensors.index.fp16.json", "flax_model.msgpack.index.json"],
  ],
  private: [
    "adapter_config.json",
    "a/adapter_config.json",
    "ether-merge.json",
    "x.sha256",
    "a/model.safetensors.sha256",
  ],
};

for (const [role, paths] of Object.entries(ROLES)) {
  Deno.test(`fileRole: ${role}`, () => {
    for (const path of paths) assertEquals(fileRole(path), role as never, path);
  });
}
