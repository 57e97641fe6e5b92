/** A thread that computes streams, some pieces of one and then of another, until it is terminated. */
import { Engine } from "../execute/engine.ts";
import { SketchStore } from "../execute/sketch_store.ts";
import { EtherError } from "../error.ts";
import type { ByteSource } from "../io/source.ts";
import { loadKernel } from "../kernel/load.ts";
import type { PlannedFile } from "../plans/plan.ts";
import { EnginePool } from "../repositories/engine_pool.ts";
import { KEPT_KERNEL_BYTES, TILE_BYTES } from "../repositories/limits.ts";
import type { MarkedFile } from "../repositories/stream_threads.ts";
import { changed, openUnchanged } from "../repositories/unchanged_source.ts";
import { startDigest } from "./digest.ts";
import { FileSource } from "./file_source.ts";
import type { StreamReply, StreamRequest } from "./stream_protocol.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Bytes that one message has at least: it costs as much as computing some kilobytes. */
const MESSAGE_BYTES = 512 << 10;
/** Bytes of sketches that this thread's streams share. */
const SKETCH_BYTES = 8 << 20;
/** Bytes of an adapter that are asked for at once: its vectors are small, and lie side by side. */
const ASKED_BYTES = 256 << 10;

interface Stream extends Omit<Extract<StreamRequest, { kind: "open" }>, "kind"> {
  readonly file: PlannedFile;
  readonly stop: AbortController;
}

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<StreamRequest>) => void) | null;
  postMessage(reply: StreamReply, transfer?: ArrayBuffer[]): void;
};
const plans = new Map<number, PlannedFile>();
const streams = new Map<number, Stream>();
const reads = new Map<number, (bytes: Bytes | null) => void>();
const sketches = new SketchStore(SKETCH_BYTES);
let readCount = 0;
/** The last bytes that were asked for; a locator names content, which does not change. */
let asked: { readonly locator: string; readonly offset: number; readonly bytes: Bytes } | null = null;
/** Whose turn it is: what else than the base's files is read is asked for on its behalf. */
let current: Stream | null = null;

const engines = new EnginePool({
  ...{ maxCount: 1, maxKernelBytes: KEPT_KERNEL_BYTES },
  make: () => {
    const kernel = loadKernel();
    const openSink = () => {
      throw new TypeError("a stream writes no file");
    };
    const host = { kernel, openSource, openSink, startDigest };
    return { kernel, engine: new Engine(host, { files: [], output: null, tileByteLength: TILE_BYTES }) };
  },
});

scope.onmessage = ({ data }) => {
  switch (data.kind) {
    case "plan":
      plans.set(data.plan, data.file);
      break;
    case "forget":
      plans.delete(data.plan);
      break;
    case "open":
      streams.set(data.stream, { ...data, file: plans.get(data.plan)!, stop: new AbortController() });
      break;
    case "compute":
      compute(data);
      break;
    case "close":
      streams.get(data.stream)?.stop.abort();
      streams.delete(data.stream);
      break;
    case "bytes":
      reads.get(data.read)?.(data.bytes);
      reads.delete(data.read);
      break;
  }
};
scope.postMessage({ kind: "ready" });

async function compute(request: Extract<StreamRequest, { kind: "compute" }>): Promise<void> {
  const { stream: number, start, tileByteLength } = request;
  const stream = streams.get(number);
  if (stream === undefined) return;
  const { file, contentName, end, stop: { signal } } = stream;
  const pieces: Bytes[] = [];
  try {
    for (let at = start, made = 0; at < end && made < MESSAGE_BYTES;) {
      const piece = await engines.use(stream, (engine) => {
        current = stream;
        return engine.piece({ file, contentName, start: at, end, sketches, tileByteLength, signal });
      }, signal);
      pieces.push(piece);
      at += piece.byteLength;
      made += piece.byteLength;
    }
    const { hitCount: sketchHits, missCount: sketchMisses } = sketches;
    const reply: StreamReply = { kind: "pieces", stream: number, pieces, sketchHits, sketchMisses };
    scope.postMessage(reply, pieces.map(({ buffer }) => buffer));
  } catch (error) {
    if (signal.aborted) return;
    scope.postMessage({ kind: "failed", stream: number, message: String(error) });
  }
}

/** The base's files are read here, each time held against the mark that they were identified by. */
function openSource(locator: string): ByteSource | Promise<ByteSource> {
  const stream = current!;
  const found = stream.files.find((file) => file.locator === locator);
  return found === undefined ? new AskedSource(locator, stream.stream) : openMarked(found);
}

function openMarked({ path, mark }: MarkedFile): Promise<ByteSource> {
  return openUnchanged(() => new FileSource(path), (now) => {
    if (now !== mark) throw changed(path);
  });
}

/** A file that only the other thread has. */
class AskedSource implements ByteSource {
  readonly name: string;
  /** Whoever reads it knows from its header where it ends. */
  readonly size = Number.MAX_SAFE_INTEGER;
  readonly #stream: number;

  constructor(locator: string, stream: number) {
    this.name = locator;
    this.#stream = stream;
  }

  async read(offset: number, into: Uint8Array<ArrayBufferLike>): Promise<void> {
    const end = offset + into.byteLength;
    const { name: locator } = this;
    const isAtHand = asked?.locator === locator && asked.offset <= offset &&
      end <= asked.offset + asked.bytes.byteLength;
    if (!isAtHand) asked = { locator, offset, bytes: await this.#ask(offset, Math.max(ASKED_BYTES, into.byteLength)) };
    const { offset: first, bytes } = asked!;
    if (bytes.byteLength < end - first) throw new EtherError("io_error", "ends too early", { file: locator });
    into.set(bytes.subarray(offset - first, end - first));
  }

  close(): void {}

  async #ask(offset: number, byteLength: number): Promise<Bytes> {
    const read = ++readCount;
    const { promise, resolve } = Promise.withResolvers<Bytes | null>();
    reads.set(read, resolve);
    const { name: locator } = this;
    scope.postMessage({ kind: "read", read, stream: this.#stream, locator, offset, byteLength });
    const bytes = await promise;
    if (bytes === null) throw new EtherError("io_error", "the other thread cannot read it", { file: locator });
    return bytes;
  }
}
