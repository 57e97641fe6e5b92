/** Repositories that tell what is computed: each piece that is pulled, and how streams end. */
import type { Repositories } from "../../../runtime/repositories/repositories.ts";
import type { ByteRange, Repository, RepositoryFile } from "../../../runtime/repositories/repository.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** What happened so far. */
export interface Watch {
  /** Streams that were made. */
  streams: number;
  /** Pieces that were asked for. */
  pulls: number;
  /** Pieces that are being computed now. */
  running: number;
  /** Bytes of pieces that were computed. */
  byteLength: number;
  /** Streams that were cancelled. */
  cancelled: number;
}

/** How a stream is changed on its way. */
export type Change = (stream: ReadableStream<Bytes>, range: ByteRange) => ReadableStream<Bytes>;

/** The same repositories, watched; `change` may break their streams. */
export function watched(repositories: Repositories, change: Change = (stream) => stream) {
  const watch: Watch = { streams: 0, pulls: 0, running: 0, byteLength: 0, cancelled: 0 };
  const replaced = replace(repositories, {
    async revision(...args: Parameters<Repositories["revision"]>): Promise<Repository | null> {
      const repository = await repositories.revision(...args);
      return repository === null ? null : replace(repository, {
        stream(file: RepositoryFile, range: ByteRange) {
          watch.streams++;
          return watchStream(change(repository.stream(file, range), range), watch);
        },
      });
    },
  });
  return { repositories: replaced, watch };
}

function watchStream(stream: ReadableStream<Bytes>, watch: Watch): ReadableStream<Bytes> {
  const reader = stream.getReader();
  return new ReadableStream<Bytes>({
    async pull(controller) {
      watch.pulls++;
      watch.running++;
      try {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        watch.byteLength += value.byteLength;
        controller.enqueue(value);
      } finally {
        watch.running--;
      }
    },
    async cancel(reason) {
      watch.cancelled++;
      await reader.cancel(reason);
    },
  }, { highWaterMark: 0 });
}

/** An object with some methods of its own; the others are the original's. */
function replace<T extends object>(original: T, methods: Partial<T>): T {
  return new Proxy(original, {
    get(target, name) {
      if (name in methods) return methods[name as keyof T];
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
