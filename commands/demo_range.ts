/** What `demo` shows of serving: a range of a merged file, computed by a server that stores none. */
import { EtherError } from "../runtime/error.ts";
import { AdapterFolder } from "../runtime/deno/adapter_folder.ts";
import { startDigest } from "../runtime/deno/digest.ts";
import { FileSource, openFileSource } from "../runtime/deno/file_source.ts";
import { ModelFolder } from "../runtime/deno/model_folder.ts";
import { Repositories } from "../runtime/repositories/repositories.ts";
import { createApp } from "../routes/app.ts";

/** A range that was served. */
export interface ServedRange {
  /** Path of the request. */
  readonly path: string;
  /** First byte. */
  readonly start: number;
  /** Byte after the last. */
  readonly end: number;
  /** From the request to the last byte. */
  readonly milliseconds: number;
}

/** Somewhere in the middle of the second shard. */
const FILE = "model-00002-of-00003.safetensors";
const START = 500_000;
const END = START + 65_536;

/**
 * Serves a folder's base and adapters on a free port of this machine, and asks for a range.
 *
 * @param llama   holds `base` and adapters
 * @param merged  what `base` and `etherplus` merge into
 * @throws {EtherError} `verify_failed` where the bytes are not the merged file's; `io_error`
 */
export async function serveRange(llama: string, merged: string, signal: AbortSignal): Promise<ServedRange> {
  const repositories = new Repositories({
    models: new ModelFolder(`${llama}/base`, { keepDigests: false }),
    adapters: new AdapterFolder(llama),
    storage: { openSource: openFileSource, startDigest },
  });
  await repositories.start(signal);
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, createApp({ repositories }).fetch);
  try {
    const path = `/base/resolve/etherplus/${FILE}`;
    const asked = performance.now();
    const response = await fetch(`http://127.0.0.1:${server.addr.port}${path}`, {
      headers: { range: `bytes=${START}-${END - 1}` },
      signal,
    });
    const served = await response.bytes();
    const milliseconds = performance.now() - asked;
    if (response.status !== 206 || !equal(served, readRange(`${merged}/${FILE}`))) {
      throw new EtherError("verify_failed", `status ${response.status}, and not the merged file's bytes`, {
        file: path,
      });
    }
    return { path, start: START, end: END, milliseconds };
  } finally {
    await server.shutdown();
    await repositories.close();
  }
}

function readRange(path: string): Uint8Array<ArrayBuffer> {
  const source = new FileSource(path);
  const bytes = new Uint8Array(END - START);
  source.read(START, bytes);
  source.close();
  return bytes;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);
}
