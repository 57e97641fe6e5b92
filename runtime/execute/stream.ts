/** A planned file as a stream: computed as it is read, never stored. */
import { EtherError } from "../error.ts";
import type { OpenSource } from "../io/folder.ts";
import { loadKernel } from "../kernel/load.ts";
import type { MergePlan } from "../plans/plan.ts";
import { Engine } from "./engine.ts";
import { TILE_BYTES } from "./memory.ts";

/** Which bytes of a file, and how. */
export interface StreamOptions {
  /** First byte. @default 0 */
  readonly start?: number | undefined;
  /** Byte after the last. @default the file's size */
  readonly end?: number | undefined;
  /** Stops the stream with an error. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Streams bytes `[start, end)` of one weight file of a merge. A reader that does not pull costs nothing: the next tile
 * is computed when it is asked for, and a cancelled stream stops there.
 *
 * Each stream has a kernel of its own.
 *
 * @throws {EtherError} `not_found` if the plan has no such file, `usage` if the range is not within it
 */
export function streamFile(
  plan: MergePlan,
  path: string,
  openSource: OpenSource,
  { start = 0, end, signal }: StreamOptions = {},
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const file = plan.files.find((one) => one.path === path);
  if (file === undefined) throw new EtherError("not_found", "the merge has no such weight file", { file: path });
  const stop = end ?? file.size;
  if (
    !(Number.isSafeInteger(start) && Number.isSafeInteger(stop) && 0 <= start && start <= stop && stop <= file.size)
  ) {
    throw new EtherError("usage", `bytes ${start} to ${stop} are not within the file's ${file.size}`, { file: path });
  }
  const abort = new AbortController();
  const signals = signal === undefined ? abort.signal : AbortSignal.any([signal, abort.signal]);
  const refuse = () => {
    throw new TypeError("a stream writes and digests no file");
  };
  const assignment = { files: plan.files, output: null, tileByteLength: TILE_BYTES };
  const host = { kernel: loadKernel(), openSource, openSink: refuse, startDigest: refuse };
  const engine = new Engine(host, assignment, signals);
  let demand = Promise.withResolvers<void>();
  let running = false;

  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      demand.resolve();
      if (running) return;
      running = true;
      engine.produce(file, start, stop, async (_, bytes) => {
        await demand.promise;
        signals.throwIfAborted();
        demand = Promise.withResolvers();
        // The bytes lie in the kernel's memory, where the next tile will be.
        controller.enqueue(new Uint8Array(bytes));
      }).then(() => {
        // Who has all bytes may have cancelled already; a cancelled stream cannot be closed.
        if (!signals.aborted) controller.close();
      }).catch((error) => controller.error(error)).finally(() => engine.close());
    },
    cancel(reason) {
      abort.abort(reason);
      demand.resolve();
    },
  }, { highWaterMark: 0 });
}
