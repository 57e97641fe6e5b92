/** An adapter elsewhere, whole. */
import { EtherError } from "../error.ts";
import { readAll } from "../io/source.ts";
import type { Places } from "./places.ts";

/** Bytes of both files together. */
const MAX_BYTES = 64 << 20;
const FILES = ["adapter_config.json", "adapter_model.safetensors"];

/**
 * Reads an adapter's two files.
 *
 * @param source  `hf://owner/repo[@revision]`, or the `https://` URL of a folder
 * @throws {EtherError} `usage`, `not_found`, `too_large`, and whatever following the reference meets
 */
export async function readRemoteAdapter(
  places: Places,
  source: string,
): Promise<ReadonlyMap<string, Uint8Array<ArrayBuffer>>> {
  const { place: { folder } } = await places.follow(source, "source");
  const sizes = new Map((await folder.list()).map(({ path, size }) => [path, size]));
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  let byteLength = 0;
  for (const path of FILES) {
    const size = sizes.get(path);
    if (size === undefined) throw new EtherError("not_found", `no ${path} is there`, { file: source });
    byteLength += size;
    if (byteLength > MAX_BYTES) {
      throw new EtherError("too_large", `its files have more than ${MAX_BYTES} bytes`, { file: source });
    }
    const opened = await places.openSource(folder.locate(path));
    try {
      files.set(path, await readAll(opened));
    } finally {
      opened.close();
    }
  }
  return files;
}
