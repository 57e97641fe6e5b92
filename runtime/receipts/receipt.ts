/**
 * A receipt: what undoing a merge gets wrong, and what the files before and after the merge were, to the bit.
 *
 * A safetensors file. Each transformed tensor has one entry, `<file>:<tensor>`, U8: a table of its blocks' lengths (u32
 * each, little-endian), then the blocks (see residual_model.ts). `__metadata__` says what the receipt belongs to.
 */
import { EtherError } from "../error.ts";
import type { OpenSource } from "../io/folder.ts";
import { Fields, INTEGER, listOf, NUMBER, OBJECT, STRING } from "../json/fields.ts";
import { parseJson } from "../json/parse.ts";
import { ENGINE } from "../plans/manifest.ts";
import type { AdapterUse, ProvenFile } from "../plans/plan.ts";
import type { SafetensorsHeader } from "../safetensors/header.ts";
import { readHeader } from "../safetensors/read.ts";
import type { TensorInfo } from "../safetensors/tensor_info.ts";
import { encodeHeader } from "../safetensors/write.ts";

const FORMAT = "ether-edge-receipt";
const VERSION = "1";

/** What a receipt belongs to. */
export interface ReceiptFacts {
  /** In the order of the merge. */
  readonly adapters: readonly AdapterUse[];
  /** The base's weight files. */
  readonly base: readonly ProvenFile[];
  /** The merged ones. */
  readonly merged: readonly ProvenFile[];
}

/** An opened receipt. */
export interface Receipt extends ReceiptFacts {
  /** What messages call it. */
  readonly name: string;
  /** Opens it again. */
  readonly locator: string;
  /** Entries by {@link entryName}. */
  readonly entries: ReadonlyMap<string, TensorInfo>;
}

/** What a tensor's residuals are called. */
export function entryName(path: string, tensor: string): string {
  return `${path}:${tensor}`;
}

/** True for a file that {@link encodeReceiptHeader} began. */
export function isReceipt({ metadata }: SafetensorsHeader): boolean {
  return metadata?.get("format") === FORMAT;
}

/** An entry as it stands in the header: its name and its bytes. */
export interface ReceiptEntry {
  readonly name: string;
  readonly byteLength: number;
}

/**
 * The bytes before the first entry's.
 *
 * @param byteLength  what the header must have, filled up with spaces: entries are written before their size is known.
 * @default as much as it takes
 */
export function encodeReceiptHeader(
  entries: readonly ReceiptEntry[],
  { adapters, base, merged }: ReceiptFacts,
  byteLength?: number,
): Uint8Array<ArrayBuffer> {
  const files = (list: readonly ProvenFile[]) =>
    JSON.stringify(list.map(({ path, size, digest }) => ({ path, size, digest })));
  const metadata = new Map([
    ["format", FORMAT],
    ["version", VERSION],
    ["engine", String(ENGINE)],
    ["adapters", JSON.stringify(adapters.map(({ digest, strength }) => ({ digest, strength })))],
    ["base", files(base)],
    ["merged", files(merged)],
  ]);
  const header = encodeHeader(
    entries.map(({ name, byteLength }) => ({ name, dtype: "U8", shape: [byteLength], byteLength })),
    metadata,
  );
  if (byteLength === undefined) return header;
  const padded = new Uint8Array(byteLength).fill(0x20);
  padded.set(header);
  new DataView(padded.buffer).setBigUint64(0, BigInt(byteLength - 8), true);
  return padded;
}

/**
 * Opens a receipt.
 *
 * @throws {EtherError} `bad_header`, `bad_config` for what is no receipt, `unsupported` for one of another engine
 */
export async function openReceipt(locator: string, name: string, openSource: OpenSource): Promise<Receipt> {
  const source = await openSource(locator);
  try {
    const header = await readHeader(source);
    if (!isReceipt(header)) {
      const hint = "merge --receipt writes one beside the merged model";
      throw new EtherError("bad_config", "the file is no receipt of a merge", { file: name, hint });
    }
    const metadata = header.metadata!;
    for (const [field, known] of [["version", VERSION], ["engine", String(ENGINE)]] as const) {
      const found = metadata.get(field);
      if (found === known) continue;
      const hint = "unmerge with the ether-edge that merged";
      const message = `the receipt's ${field} is ${found ?? "missing"}, this is ${known}`;
      throw new EtherError("unsupported", message, { file: name, field, hint });
    }
    const listField = (field: string): Fields[] => {
      const value = parseJson(new TextEncoder().encode(metadata.get(field) ?? "null"), "bad_config", name);
      const objects = listOf(OBJECT).read(value);
      if (objects === undefined) {
        throw new EtherError("bad_config", `${field} is no list of objects`, { file: name, field });
      }
      return objects.map((object, index) => new Fields(object, "bad_config", name, `${field}[${index}]`));
    };
    const files = (field: string): ProvenFile[] =>
      listField(field).map((file) => ({
        path: file.required("path", STRING),
        size: file.required("size", INTEGER),
        digest: file.required("digest", STRING),
      }));
    return {
      ...{ name, locator, entries: header.byName, base: files("base"), merged: files("merged") },
      adapters: listField("adapters").map((adapter) => {
        return { digest: adapter.required("digest", STRING), strength: adapter.required("strength", NUMBER) };
      }),
    };
  } finally {
    source.close();
  }
}
