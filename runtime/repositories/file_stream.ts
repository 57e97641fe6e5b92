/** A file's bytes as they are pulled: whoever does not pull costs nothing but a piece. */
import { EtherError } from "../error.ts";
import type { ByteRange, RepositoryFile } from "./repository.ts";

/** No chunk has more. */
const CHUNK_BYTES = 1 << 20;

/** Makes a file's bytes. */
export interface ComputeWork {
  /** Some bytes from `start` on, at least one and none from `end` on. They are the caller's. */
  piece(start: number, end: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
  /** Ends the work. */
  close(): void;
}

/**
 * Exactly the bytes of a range, or an error; pieces of at most 1 MiB, one for each pull.
 *
 * @param open  called at the first pull
 * @throws {EtherError} `usage` where the range is not within the file
 */
export function pieceStream(
  { path, size }: RepositoryFile,
  { start, end }: ByteRange,
  open: () => Promise<ComputeWork>,
  signal?: AbortSignal,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  if (!(Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start <= end && end <= size)) {
    throw new EtherError("usage", `bytes ${start} to ${end} are not within the file's ${size}`, { file: path });
  }
  const cancelled = new AbortController();
  const signals = signal === undefined ? cancelled.signal : AbortSignal.any([signal, cancelled.signal]);
  let work: ComputeWork | null = null;
  let at = start;
  /** Made already, and not given away yet. */
  let left = new Uint8Array(0);
  const close = () => {
    work?.close();
    work = null;
    left = new Uint8Array(0);
  };
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      try {
        signals.throwIfAborted();
        if (left.byteLength === 0 && at < end) {
          work ??= await open();
          signals.throwIfAborted();
          left = await work.piece(at, end, signals);
          signals.throwIfAborted();
          if (left.byteLength === 0 || at + left.byteLength > end) throw new TypeError("a piece of a wrong length");
        }
        if (left.byteLength > 0) {
          const part = left.byteLength <= CHUNK_BYTES ? left : left.slice(0, CHUNK_BYTES);
          left = left.subarray(part.byteLength);
          at += part.byteLength;
          controller.enqueue(part);
        }
        // At once, so that nobody has to pull again for nothing to be held.
        if (at === end) {
          close();
          controller.close();
        }
      } catch (error) {
        close();
        // Nobody reads a cancelled stream any more.
        if (!cancelled.signal.aborted) throw error;
      }
    },
    cancel(reason) {
      cancelled.abort(reason);
      close();
    },
  }, { highWaterMark: 0 });
}
