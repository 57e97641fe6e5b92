/** An adapter as PEFT lays it out: `adapter_config.json` beside one safetensors file. */
import type { Place } from "../checkpoints/model.ts";
import { readSmall } from "../checkpoints/model.ts";
import { EtherError } from "../error.ts";
import { type RunningDigest, type StartDigest, toHex } from "../io/digest.ts";
import { type FolderEntry, type OpenSource, parentOf } from "../io/folder.ts";
import type { ByteSource } from "../io/source.ts";
import { Fields, STRING } from "../json/fields.ts";
import { parseJson } from "../json/parse.ts";
import type { JsonObject } from "../json/value.ts";
import type { SafetensorsHeader } from "../safetensors/header.ts";
import { readHeader } from "../safetensors/read.ts";

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
  /** SHA-256 in hex over (SHA-256 of the config's bytes ‖ SHA-256 of the tensor file's bytes). */
  readonly digest: string;
}

const CONFIG_FILE = "adapter_config.json";
const TENSOR_FILE = "adapter_model.safetensors";

/**
 * Opens an adapter folder, or one safetensors file whose config stands beside it.
 *
 * @throws {EtherError} `not_found`, `bad_config`, `bad_header`, `unsupported_format`, `io_error`
 */
export async function openAdapter(place: Place, openSource: OpenSource, startDigest: StartDigest): Promise<Adapter> {
  const { folder } = place;
  const byPath = new Map((await folder.list()).map((entry) => [entry.path, entry]));
  const tensorPath = place.file ?? TENSOR_FILE;
  const configPath = parentOf(tensorPath) + CONFIG_FILE;
  const configEntry = byPath.get(configPath);
  const configName = `${folder.name}/${configPath}`;
  if (configEntry === undefined) {
    const hint = `an adapter is a folder with ${CONFIG_FILE} and ${TENSOR_FILE}`;
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
    const digest = startDigest();
    digest.update(finishOf(startDigest, (inner) => inner.update(configBytes)));
    const tensors = startDigest();
    await digestSource(source, tensors);
    digest.update(tensors.finish());
    return {
      ...{ name: folder.name, peftType, config: fields.object, configName },
      ...{ fileName: source.name, locator, header, digest: toHex(digest.finish()) },
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

function finishOf(startDigest: StartDigest, feed: (digest: RunningDigest) => void): Uint8Array<ArrayBuffer> {
  const digest = startDigest();
  feed(digest);
  return digest.finish();
}

/** Feeds a whole source to a digest, a megabyte at a time. */
export async function digestSource(source: ByteSource, digest: RunningDigest): Promise<void> {
  const buffer = new Uint8Array(Math.min(source.size, 1 << 20));
  for (let offset = 0; offset < source.size; offset += buffer.byteLength) {
    const part = buffer.subarray(0, Math.min(buffer.byteLength, source.size - offset));
    await source.read(offset, part);
    digest.update(part);
  }
}
