/**
 * Which files of a folder are the checkpoint's weights, which come along, and which stay behind.
 *
 * A base may hold the same weights several times (`.bin` beside `.safetensors`, fp16 variants, `original/`): merged
 * output that carried one of those along would hold the base's weights under the merged model's name.
 */
import { EtherError } from "../error.ts";
import { type FolderEntry, parentOf } from "../io/folder.ts";

/** One checkpoint: a file, or an index that names its shards. A diffusers repository has one for each subfolder. */
export interface WeightSet {
  /** `""` or the subfolder, with its slash: where the set's `config.json` is. */
  readonly folder: string;
  /** The only file, or null where an index names the files. */
  readonly file: FolderEntry | null;
  readonly index: FolderEntry | null;
}

const STEMS = ["model", "diffusion_pytorch_model"] as const;

/** The weight sets of a folder. @throws {EtherError} `unsupported_format` where it has none */
export function findWeightSets(folderName: string, entries: readonly FolderEntry[]): WeightSet[] {
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  const top = weightSetIn("", byPath);
  if (top !== null) return [top];
  const sets: WeightSet[] = [];
  if (byPath.has("model_index.json")) {
    const folders = new Set(
      entries.map((entry) => parentOf(entry.path)).filter((folder) => folder.split("/").length === 2),
    );
    for (const folder of folders) {
      const set = weightSetIn(folder, byPath);
      if (set !== null) sets.push(set);
    }
  }
  if (sets.length === 0) throw noWeights(folderName, entries);
  return sets;
}

function weightSetIn(folder: string, byPath: ReadonlyMap<string, FolderEntry>): WeightSet | null {
  for (const stem of STEMS) {
    const file = byPath.get(`${folder}${stem}.safetensors`);
    if (file !== undefined) return { folder, file, index: null };
    const index = byPath.get(`${folder}${stem}.safetensors.index.json`);
    if (index !== undefined) return { folder, file: null, index };
  }
  return null;
}

/** What becomes of a file that is not in a weight set. */
export type FileRole =
  /** Config, tokenizer, license: comes along. */
  | "small"
  /** The base's weights once more, or a description of them: stays behind, and is said. */
  | "weights"
  /** Belongs to this copy of the base alone: stays behind. */
  | "private";

const WEIGHTS =
  /\.(safetensors|bin|pt|pth|ckpt|gguf|ggml|llamafile|h5|keras|msgpack|tflite|npz|ot|nemo|distcp)$|\.onnx[^/]*$/i;
const WEIGHT_INDEX = /\.(safetensors|bin|pt|pth|ckpt|h5|msgpack)\.index(\.[^/]*)?\.json$/i;
const PRIVATE = /(^|\/)(adapter_config\.json|ether-merge\.json)$|\.sha256$/;

/** See {@link FileRole}. Names that begin with a dot are not in a folder's list at all. */
export function fileRole(path: string): FileRole {
  if (PRIVATE.test(path)) return "private";
  if (WEIGHTS.test(path) || WEIGHT_INDEX.test(path) || /(^|\/)original\//.test(path)) return "weights";
  return "small";
}

/** Which tool makes safetensors of what is there. */
const CONVERTERS: readonly (readonly [RegExp, string])[] = [
  [/\.gguf$/i, "load it with transformers' from_pretrained(..., gguf_file=...) and save_pretrained"],
  [/\.(h5|msgpack)$/i, "load it with transformers' from_pretrained(..., from_tf/from_flax=True) and save_pretrained"],
  [
    /\.pth$/i,
    "an official ETHER checkpoint goes with --adapter, as the file itself; a model is converted by its makers' tool",
  ],
  [/\.(bin|pt|ckpt)$/i, "convert it with transformers' save_pretrained(..., safe_serialization=True)"],
  [
    /\.(tflite|npz|ot|nemo|ggml|llamafile|keras|distcp)$|\.onnx/i,
    "export the original model again with save_pretrained",
  ],
];

function noWeights(folderName: string, entries: readonly FolderEntry[]): EtherError {
  const file = folderName;
  for (const [pattern, converter] of CONVERTERS) {
    const found = entries.find((entry) => pattern.test(entry.path));
    if (found !== undefined) {
      return new EtherError("unsupported_format", `no safetensors weights, only ${found.path}`, {
        file,
        hint: converter,
      });
    }
  }
  if (entries.some((entry) => entry.path === "adapter_config.json")) {
    const hint = "this is an adapter; it goes with --adapter";
    return new EtherError("unsupported_format", "no model's weights", { file, hint });
  }
  const other = entries.find((entry) => entry.path.endsWith(".safetensors"));
  if (other !== undefined) {
    return new EtherError("unsupported_format", "no model.safetensors and no model.safetensors.index.json", {
      file,
      hint: `to use ${other.path}, name that file itself`,
    });
  }
  return new EtherError("unsupported_format", "no safetensors weights", {
    file,
    hint: "name a folder with model.safetensors or model.safetensors.index.json, or a .safetensors file",
  });
}
