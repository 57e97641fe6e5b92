/** An adapter as PEFT lays it out, `adapter_config.json` beside one safetensors file; or an official ETHER checkpoint. */
import type { Model, Place } from "../checkpoints/model.ts";
import { readSmall } from "../checkpoints/model.ts";
import { EtherError } from "../error.ts";
import { sha256, type StartDigest, toHex } from "../io/digest.ts";
import { digestOf, digestSource } from "../io/digest_source.ts";
import { type FolderEntry, type OpenSource, parentOf } from "../io/folder.ts";
import { readAll } from "../io/source.ts";
import { Fields, STRING } from "../json/fields.ts";
import { parseJson } from "../json/parse.ts";
import type { JsonObject } from "../json/value.ts";
import type { SafetensorsHeader } from "../safetensors/header.ts";
import { readHeader } from "../safetensors/read.ts";
import { officialPath, otherCheckpoints } from "./official/find.ts";

/** An opened adapter; its tensors are read when they are needed. */
export interface Adapter {
  /** What messages call it: the path as the user gave it. */
  readonly name: string;
  /** `peft_type` of the config. */
  readonly peftType: string;
  /** The whole config. */
  readonly config: JsonObject;
  /** The config's path, for messages. */
  readonly configName: string;
  /** The tensor file's path, for messages. */
  readonly fileName: string;
  /** Opens the tensor file again. */
  readonly locator: string;
  /** The tensor file's header. */
  readonly header: SafetensorsHeader;
  /**
   * SHA-256 in hex over (SHA-256 of the config's bytes ‖ SHA-256 of the tensor file's bytes); of a `.pth` over those of
   * the file, of its lit_config.json, and of the folder's name where that decided anything.
   */
  readonly digest: string;
}

const CONFIG_FILE = "adapter_config.json";
const TENSOR_FILE = "adapter_model.safetensors";
/** A file of up to so many bytes is digested at once: a running digest costs a server a tenth of its start. */
const ONE_SHOT_BYTES = 1 << 20;

/** What else is known, or allowed, when an adapter is opened. */
export interface OpenAdapterOptions {
  /** `lit_config.json` of an official checkpoint. @default beside it, or one folder up */
  readonly litConfig?: Place | undefined;
  /** The model that it is for: its tensors' names tell what an official checkpoint's modules are. @default unknown */
  readonly base?: Model | undefined;
  /** Read torch's `.pth` files. @default true */
  readonly allowPth?: boolean | undefined;
}

/**
 * Opens an adapter folder; or one safetensors file whose config stands beside it; or an official checkpoint, by its
 * `.pth` file or the folder that training wrote.
 *
 * @throws {EtherError} `not_found`, `bad_config`, `bad_header`, `unsupported_format`, `io_error`; of a `.pth` also
 * `bad_pickle` and what its parameters cannot mean
 */
export async function openAdapter(
  place: Place,
  openSource: OpenSource,
  startDigest: StartDigest,
  { litConfig, base, allowPth = true }: OpenAdapterOptions = {},
): Promise<Adapter> {
  const { folder } = place;
  const entries = await folder.list();
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  const official = officialPath(place, entries);
  if (official !== null && byPath.has(official)) {
    if (!allowPth) {
      const hint = "convert it first: deno task convert --checkpoint";
      throw new EtherError("unsupported_format", `${official} is a .pth file`, { file: folder.name, hint });
    }
    const options = { litConfig: litConfig ?? null, base: base ?? null };
    // Most adapters are no official checkpoints: the pickle reader is loaded for those that are.
    const { openOfficial } = await import("./official/open_official.ts");
    return await openOfficial(place, official, entries, openSource, startDigest, options);
  }
  const tensorPath = place.file ?? TENSOR_FILE;
  const configPath = parentOf(tensorPath) + CONFIG_FILE;
  const configEntry = byPath.get(configPath);
  const configName = `${folder.name}/${configPath}`;
  if (configEntry === undefined) {
    const checkpoint = otherCheckpoints(place, entries).at(-1);
    const hint = checkpoint === undefined
      ? `an adapter is a folder with ${CONFIG_FILE} and ${TENSOR_FILE}`
      : `if ${checkpoint} is an official ETHER checkpoint, name that file itself`;
    throw new EtherError("not_found", `no ${CONFIG_FILE}`, { file: folder.name, hint });
  }
  if (!byPath.has(tensorPath) || !tensorPath.endsWith(".safetensors")) {
    throw missingTensors(folder.name, tensorPath, byPath);
  }

  const configBytes = await readSmall(folder, configEntry, openSource);
  const fields = Fields.ofDocument(parseJson(configBytes, "bad_config", configName), "bad_config", configName);
  const peftType = fields.required("peft_type", STRING);

  const locator = folder.locate(tensorPath);
  const source = await openSource(locator);
  try {
    const header = await readHeader(source);
    const digests = new Uint8Array(64);
    digests.set(await sha256(configBytes), 0);
    const small = source.size <= ONE_SHOT_BYTES;
    const ofTensors = small
      ? await sha256(await readAll(source))
      : await digestOf(startDigest, (inner) => digestSource(source, inner));
    digests.set(ofTensors, 32);
    return {
      ...{ name: folder.name, peftType, config: fields.object, configName },
      ...{ fileName: source.name, locator, header, digest: toHex(await sha256(digests)) },
    };
  } finally {
    source.close();
  }
}

function missingTensors(folderName: string, path: string, byPath: ReadonlyMap<string, FolderEntry>): EtherError {
  const other = byPath.has(path) ? path : [...byPath.keys()].find((name) => /\.(bin|pt|pth|ckpt)$/.test(name));
  if (other === undefined) return new EtherError("not_found", `no ${path}`, { file: folderName });
  const hint = "save the adapter again with safe_serialization=True";
  return new EtherError("unsupported_format", `${other} is no .safetensors file`, { file: folderName, hint });
}
