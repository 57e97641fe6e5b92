/** Streams that threads compute: the same bytes, bounded ahead of their readers, and never of a base that has changed. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { AdapterFolder } from "../../../runtime/deno/adapter_folder.ts";
import { FileSource } from "../../../runtime/deno/file_source.ts";
import { fileStorage } from "../../../runtime/deno/merge_folder.ts";
import { ModelFolder } from "../../../runtime/deno/model_folder.ts";
import { StreamThreadPool, type StreamThreadPoolOptions } from "../../../runtime/deno/stream_thread_pool.ts";
import { EtherError } from "../../../runtime/error.ts";
import type { ByteSource } from "../../../runtime/io/source.ts";
import { Repositories } from "../../../runtime/repositories/repositories.ts";
import type { Repository } from "../../../runtime/repositories/repository.ts";
import { makeFolder, tensorFile } from "../../commands/made_files.ts";
import { adapterFiles } from "../repositories/made_adapter.ts";

const FILE = "model.safetensors";
const NAMES = ["model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"] as const;
const ROWS = 12_288;
const COLUMNS = 1024;
/** Until a scan that no test asks for. */
const LONG = 3_600_000;

/** Two tensors of 24 MiB. */
function weights(seed: number): Uint8Array<ArrayBuffer> {
  const halves = Uint16Array.from({ length: ROWS * COLUMNS }, (_, i) => 0x3f80 | (i * 37 + seed * 11) & 0x7f);
  const tensor = { dtype: "BF16", shape: [ROWS, COLUMNS], bytes: new Uint8Array(halves.buffer) } as const;
  return tensorFile({ [NAMES[0]]: tensor, between: { dtype: "BF16", shape: [3] }, [NAMES[1]]: tensor });
}

const OLD = weights(1);
const NEW = weights(2);

function vectors(side: "in" | "out", shape: readonly [number, number]) {
  return Object.fromEntries(NAMES.map((name) => {
    return [`base_model.${name.replace(/weight$/, `ether_u_${side}`)}`, { dtype: "F32", shape }] as const;
  }));
}

const ADAPTERS = {
  in: adapterFiles({ sides: ["in"], num_blocks: 4, layout: "paper" }, vectors("in", [4, COLUMNS / 4])),
  out: adapterFiles({ sides: ["out"], num_blocks: 1, layout: "paper" }, vectors("out", [1, ROWS])),
} as const;

interface Served extends AsyncDisposable {
  /** Files that are open in this thread now. */
  readonly openFiles: ReadonlySet<ByteSource>;
  readonly pool: StreamThreadPool | null;
  readonly file: string;
  readonly notices: readonly string[];
  revision(name: string): Promise<Repository>;
}

/** A model and two adapters, with threads or without. */
async function serve(options: Partial<StreamThreadPoolOptions> | null): Promise<Served> {
  const root = makeFolder({ [`m/${FILE}`]: OLD, "m/config.json": { model_type: "llama" } }, "models");
  const entries = Object.entries(ADAPTERS).flatMap(([name, files]) => {
    return [...files].map(([path, bytes]) => [`${name}/${path}`, bytes] as const);
  });
  const models = new ModelFolder(root, { keepDigests: false, rescanMilliseconds: LONG });
  const adapters = new AdapterFolder(makeFolder(Object.fromEntries(entries)));
  const notices: string[] = [];
  const onNotice = (message: string) => void notices.push(message);
  const pool = options === null ? null : new StreamThreadPool({ maxCount: 1, onNotice, ...options });
  const openFiles = new Set<ByteSource>();
  const storage = { ...fileStorage, openSource: (locator: string) => noted(new FileSource(locator), openFiles) };
  const repositories = new Repositories({ models, adapters, storage, threads: pool ?? undefined });
  await repositories.start();
  return {
    ...{ pool, notices, openFiles, file: `${root}/m/${FILE}` },
    revision: async (name) => (await repositories.revision((await repositories.base("m"))!, name))!,
    [Symbol.asyncDispose]: () => repositories.close(),
  };
}

function noted(source: FileSource, openFiles: Set<ByteSource>): ByteSource {
  const { name, size } = source;
  const one: ByteSource = {
    ...{ name, size, read: (offset, into) => source.read(offset, into), mark: () => source.mark() },
    close() {
      openFiles.delete(one);
      source.close();
    },
  };
  openFiles.add(one);
  return one;
}

/** Threads that note the kinds of messages to them. */
function notingMessages(): Disposable & { readonly kinds: readonly string[] } {
  const real = globalThis.Worker;
  const kinds: string[] = [];
  globalThis.Worker = class extends real {
    override postMessage(message: { kind: string }, more?: Transferable[] | StructuredSerializeOptions): void {
      kinds.push(message.kind);
      super.postMessage(message, more as Transferable[]);
    }
  };
  return { kinds, [Symbol.dispose]: () => void (globalThis.Worker = real) };
}

function stream(repository: Repository, start = 0): ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>> {
  const file = repository.file(FILE)!;
  return repository.stream(file, { start, end: file.size }).getReader();
}

/** Reads to the end; calls back after each chunk with the bytes so far. */
async function readAll(
  reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>,
  then: (byteLength: number) => unknown = () => {},
): Promise<Uint8Array> {
  const bytes = new Uint8Array(OLD.byteLength);
  let at = 0;
  for (;;) {
    const { value } = await reader.read();
    if (value === undefined) return bytes.subarray(0, at);
    bytes.set(value, at);
    at += value.byteLength;
    await then(at);
  }
}

/** Reads until a thread has taken the stream over. */
async function readIntoThread(reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>, pool: StreamThreadPool) {
  let byteLength = 0;
  while (pool.counters.pieces === 0) {
    assert(byteLength < 12 << 20, "no thread has come");
    byteLength += (await reader.read()).value!.byteLength;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return byteLength;
}

/** A thread beside a stream that is read at leisure: made with the first piece, ready with one of the next. */
const atLeisure = (at: number) => at < 12 << 20 ? new Promise((resolve) => setTimeout(resolve, 60)) : undefined;

const equal = (a: Uint8Array, b: Uint8Array) => a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);

Deno.test("threads: streams from a thread have the bytes of those without one, also side by side", async () => {
  await using plain = await serve(null);
  await using threaded = await serve({});
  const expected = new Map<string, Uint8Array>();
  for (const name of ["in", "out", "in+out"]) {
    expected.set(name, await readAll(stream(await plain.revision(name))));
    assert(!equal(expected.get(name)!, OLD), name);
  }
  const reading = [...expected].map(async ([name, bytes]) => {
    assert(equal(await readAll(stream(await threaded.revision(name)), atLeisure), bytes), name);
    // From within a row on, and by a thread from the first byte.
    const start = 1_000_003;
    assert(
      equal(await readAll(stream(await threaded.revision(name), start)), bytes.subarray(start)),
      `rest of ${name}`,
    );
  });
  await Promise.all(reading);
  const { pieces, sketchMisses } = threaded.pool!.counters;
  assert(pieces > 3 * 24, `${pieces} pieces by the thread`);
  assert(sketchMisses > 0, "sketches by the thread");
  assertEquals(threaded.notices, []);
});

Deno.test("threads: a reader that does not read costs no more than what lies ahead of it", async () => {
  await using served = await serve({});
  const reader = stream(await served.revision("in"));
  await readIntoThread(reader, served.pool!);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const { pieces } = served.pool!.counters;
  assert(pieces <= 4, `${pieces} pieces of 1 MiB for nobody`);
  await reader.cancel();
  await new Promise((resolve) => setTimeout(resolve, 100));
  assertEquals(served.pool!.counters.pieces, pieces);
});

Deno.test("threads: one that has had nothing to do for a while is ended, and made anew", async () => {
  await using served = await serve({ idleMilliseconds: 50 });
  for (let round = 0; round < 2; round++) {
    const reader = stream(await served.revision("in"));
    const before = served.pool!.counters.pieces;
    await reader.read();
    while (served.pool!.counters.pieces === before) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      await reader.read();
    }
    assertEquals(served.pool!.count, 1);
    await reader.cancel();
    while (served.pool!.count > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  }
});

Deno.test("threads: one whose stream is gone before it is ready is ended too", async () => {
  await using served = await serve({ idleMilliseconds: 20 });
  const reader = stream(await served.revision("in"));
  await reader.read();
  assertEquals(served.pool!.count, 1);
  await reader.cancel();
  while (served.pool!.count > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(served.pool!.counters.pieces, 0);
});

Deno.test("threads: a plan is sent once for all streams of a file, and an adapter's vectors together", async () => {
  using messages = notingMessages();
  await using served = await serve({});
  const repository = await served.revision("in+out");
  const first = stream(repository);
  await readIntoThread(first, served.pool!);
  const others = Array.from({ length: 3 }, () => stream(repository));
  for (const reader of others) for (let i = 0; i < 4; i++) await reader.read();
  const count = (kind: string) => messages.kinds.filter((one) => one === kind).length;
  assertEquals([count("plan"), count("open"), count("forget")], [1, 4, 0]);
  for (const reader of [first, ...others]) await reader.cancel();
  assertEquals([count("close"), count("forget")], [4, 1]);

  // Of both adapters, for both tensors.
  const before = count("bytes");
  await readAll(stream(repository));
  assert(count("bytes") - before <= 4, `${count("bytes") - before} messages`);
});

Deno.test("threads: a base is not kept open when nobody reads it, with threads or without", async () => {
  for (const options of [null, {}]) {
    await using served = await serve(options);
    const readers = [stream(await served.revision("in")), stream(await served.revision("out"))];
    for (const reader of readers) await reader.read();
    assert(served.openFiles.size > 0);
    for (const reader of readers) await reader.cancel();
    assertEquals([...served.openFiles].map(({ name }) => name), []);
  }
});

Deno.test("threads: a base that is written in place under a stream cuts it", async () => {
  for (const name of ["in", "out"]) {
    await using plain = await serve(null);
    const expected = await readAll(stream(await plain.revision(name)));
    await using served = await serve({});
    const reader = stream(await served.revision(name));
    let at = await readIntoThread(reader, served.pool!);
    using handle = Deno.openSync(served.file, { write: true });
    handle.seekSync(30 << 20, Deno.SeekMode.Start);
    handle.writeSync(NEW.subarray(30 << 20));
    const error = await assertRejects(async () => {
      for (;;) {
        const { value } = await reader.read();
        if (value === undefined) return;
        assert(equal(value, expected.subarray(at, at + value.byteLength)), `${name}: another byte after ${at}`);
        at += value.byteLength;
      }
    }, EtherError);
    assertEquals([error.code, error.message], ["io_error", "it changed while it was served"]);
  }
});

Deno.test("threads: where they cannot be, streams go on without them, and it is said once", async () => {
  await using plain = await serve(null);
  const expected = await readAll(stream(await plain.revision("out")));
  const real = globalThis.Worker;
  const broken = class extends real {
    constructor() {
      super("data:text/javascript,throw new Error('no threads here')", { type: "module" });
    }
  };
  for (const worker of [undefined, broken]) {
    globalThis.Worker = worker as typeof Worker;
    try {
      await using served = await serve({});
      for (let i = 0; i < 2; i++) {
        assert(equal(await readAll(stream(await served.revision("out")), atLeisure), expected));
      }
      assertEquals([served.notices.length, served.pool!.count, served.pool!.counters.pieces], [1, 0, 0]);
    } finally {
      globalThis.Worker = real;
    }
  }
});
