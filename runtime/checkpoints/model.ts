/** A base model: its weight files with their headers, its config, and the files beside them. Nothing but headers is read. */
import { EtherError } from "../error.ts";
import { baseNameOf, type Folder, type FolderEntry, type OpenSource, parentOf } from "../io/folder.ts";
import { readAll } from "../io/source.ts";
import type { JsonObject } from "../json/value.ts";
import type { SafetensorsHeader } from "../safetensors/header.ts";
import { readHeader } from "../safetensors/read.ts";
import type { TensorInfo } from "../safetensors/tensor_info.ts";
import { type ModelConfig, parseModelConfig } from "./model_config.ts";
import { checkShards, parseShardIndex, type ShardIndex } from "./shard_index.ts";
import { fileRole, findWeightSets, type WeightSet } from "./weight_set.ts";

/** One safetensors file of a model. */
export interface WeightFile {
  /** Relative to the model's folder. */
  readonly path: string;
  /** Bytes of the file. */
  readonly size: number;
  /** Opens the file again. */
  readonly locator: string;
  /** The parsed header. */
  readonly header: SafetensorsHeader;
  /** SHA-256 in hex, where the storage knows it without reading the file. */
  readonly sha256: string | null;
}

/** One tensor of a model, and the file that holds it. */
export interface ModelTensor {
  /** Its name, dtype, shape and place. */
  readonly info: TensorInfo;
  /** The file that holds it. */
  readonly file: WeightFile;
}

/** One checkpoint of a model: most models are one, a diffusers repository has several. */
export interface Checkpoint {
  /** `""` or the subfolder, with its slash. */
  readonly folder: string;
  /** Its files, in order of name. */
  readonly files: readonly WeightFile[];
  /** The shard index; null for a single file. */
  readonly index: { readonly entry: FolderEntry; readonly document: JsonObject } | null;
  /** Its `config.json`, where there is one. */
  readonly config: ModelConfig | null;
}

/** A base model. */
export interface Model {
  /** What messages call it. */
  readonly name: string;
  /** The folder that holds it. */
  readonly folder: Folder;
  /** True where a single file was named: its neighbours are not the model's. */
  readonly singleFile: boolean;
  /** One, or several of a diffusers repository. */
  readonly checkpoints: readonly Checkpoint[];
  /** All tensors by name; a name that two checkpoints have is there twice. */
  readonly tensors: ReadonlyMap<string, readonly ModelTensor[]>;
  /** Files that come along with a merged copy. */
  readonly smallFiles: readonly FolderEntry[];
  /** Weight files outside the weight set, which do not. */
  readonly leftOut: readonly string[];
  /** Files and folders that no path can name: they stay behind too. @default none */
  readonly unnameable?: readonly string[] | undefined;
}

/** Where a model or an adapter is: a folder, or one file in it. */
export interface Place {
  /** The folder that holds it. */
  readonly folder: Folder;
  /** The file's path in the folder, where one was named. */
  readonly file: string | null;
}

/**
 * Opens a model: finds its weight set, reads every header, and checks that they agree.
 *
 * @throws {EtherError} `unsupported_format`, `bad_index`, `bad_header`, `bad_config`, `not_found`, `io_error`
 */
export async function openModel(place: Place, openSource: OpenSource): Promise<Model> {
  const { folder } = place;
  const entries = await folder.list();
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  const sets = place.file === null ? findWeightSets(folder.name, entries) : [namedFile(folder, place.file, byPath)];
  const checkpoints: Checkpoint[] = [];
  for (const set of sets) checkpoints.push(await openCheckpoint(set, folder, byPath, openSource));

  const mine = new Set(checkpoints.flatMap((one) => [...one.files.map((file) => file.path), one.index?.entry.path]));
  const others = place.file === null ? entries.filter((entry) => !mine.has(entry.path)) : [];
  return {
    name: folder.name,
    folder,
    singleFile: place.file !== null,
    checkpoints,
    tensors: tensorsByName(checkpoints),
    smallFiles: others.filter((entry) => fileRole(entry.path) === "small"),
    leftOut: others.filter((entry) => fileRole(entry.path) === "weights").map((entry) => entry.path),
    unnameable: place.file === null ? folder.unnameable : [],
  };
}

function namedFile(folder: Folder, path: string, byPath: ReadonlyMap<string, FolderEntry>): WeightSet {
  const entry = byPath.get(path);
  if (entry === undefined) throw new EtherError("not_found", "no such file", { file: `${folder.name}/${path}` });
  if (!path.endsWith(".safetensors")) {
    throw new EtherError("unsupported_format", "not a .safetensors file", {
      file: `${folder.name}/${path}`,
      hint: "convert it with transformers' save_pretrained(..., safe_serialization=True)",
    });
  }
  return { folder: parentOf(path), file: entry, index: null };
}

async function openCheckpoint(
  set: WeightSet,
  folder: Folder,
  byPath: ReadonlyMap<string, FolderEntry>,
  openSource: OpenSource,
): Promise<Checkpoint> {
  const config = byPath.get(`${set.folder}config.json`);
  const parsedConfig = config === undefined
    ? null
    : parseModelConfig(await readSmall(folder, config, openSource), `${folder.name}/${config.path}`);
  if (set.index === null) {
    const files = [await openWeightFile(set.file!, folder, openSource)];
    return { folder: set.folder, files, index: null, config: parsedConfig };
  }

  const indexName = `${folder.name}/${set.index.path}`;
  const index = parseShardIndex(await readSmall(folder, set.index, openSource), indexName);
  const files = await openShards(index, set, folder, byPath, openSource);
  const names = new Map(index.shards.map((shard, i) => [shard, files[i]!.header.byName.keys()]));
  checkShards(index, names, indexName);
  return { folder: set.folder, files, index: { entry: set.index, document: index.document }, config: parsedConfig };
}

async function openShards(
  index: ShardIndex,
  set: WeightSet,
  folder: Folder,
  byPath: ReadonlyMap<string, FolderEntry>,
  openSource: OpenSource,
): Promise<WeightFile[]> {
  const files: WeightFile[] = [];
  for (const shard of index.shards) {
    const entry = byPath.get(set.folder + shard);
    if (entry === undefined) {
      throw new EtherError("bad_index", `names ${JSON.stringify(shard)}, which is not there`, {
        file: `${folder.name}/${set.index!.path}`,
        field: "weight_map",
        hint: "download the missing shard; a link that leaves the folder is not followed",
      });
    }
    files.push(await openWeightFile(entry, folder, openSource));
  }
  return files;
}

async function openWeightFile(entry: FolderEntry, folder: Folder, openSource: OpenSource): Promise<WeightFile> {
  const locator = folder.locate(entry.path);
  const source = await openSource(locator);
  try {
    const header = await readHeader(source);
    return { path: entry.path, size: source.size, locator, header, sha256: entry.sha256 ?? null };
  } finally {
    source.close();
  }
}

/** A config or an index larger than this is not one. */
const MAX_SMALL_BYTES = 256 * 1024 * 1024;

/** Reads a JSON file whole. @throws {EtherError} `bad_config` where it is too large to be one */
export async function readSmall(
  folder: Folder,
  entry: FolderEntry,
  openSource: OpenSource,
): Promise<Uint8Array<ArrayBuffer>> {
  const source = await openSource(folder.locate(entry.path));
  try {
    if (source.size > MAX_SMALL_BYTES) {
      const code = baseNameOf(entry.path).endsWith(".index.json") ? "bad_index" : "bad_config";
      throw new EtherError(code, `${source.size} bytes are too many for a JSON file`, { file: source.name });
    }
    return await readAll(source);
  } finally {
    source.close();
  }
}

function tensorsByName(checkpoints: readonly Checkpoint[]): Map<string, ModelTensor[]> {
  const tensors = new Map<string, ModelTensor[]>();
  for (const { files } of checkpoints) {
    for (const file of files) {
      for (const info of file.header.tensors) {
        const same = tensors.get(info.name);
        if (same === undefined) tensors.set(info.name, [{ info, file }]);
        else same.push({ info, file });
      }
    }
  }
  return tensors;
}
