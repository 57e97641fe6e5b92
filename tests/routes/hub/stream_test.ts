/** Bodies of the Hub's routes: what is computed for them, when, and what a client gets when something goes wrong. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { createApp } from "../../../routes/app.ts";
import { openServer } from "../../../runtime/deno/server.ts";
import type { Repositories } from "../../../runtime/repositories/repositories.ts";
import { etherConfig, tensorFile } from "../../commands/made_files.ts";
import { copyFolder, type HubFolders, openRepositories, temporaryFolder } from "./small_hub.ts";
import { watched } from "./watched.ts";

const ROWS = 4096;
const COLUMNS = 8192;
const FILE = "model.safetensors";
const PIECE = 1 << 20;

/** One matrix of 64 MiB in bf16: more than the buffers of a connection hold. */
function largeHub(): HubFolders {
  const root = temporaryFolder();
  const folders = { models: `${root}/models`, adapters: `${root}/adapters` };
  Deno.mkdirSync(`${folders.models}/large`, { recursive: true });
  const bytes = new Uint8Array(2 * ROWS * COLUMNS);
  const halves = new Uint16Array(bytes.buffer);
  // Between 1 and 2, of either sign.
  for (let i = 0; i < 4093; i++) halves[i] = 0x3f80 | (i * 37 & 0x7f) | (i * 5 & 1) << 15;
  for (let done = 4093; done < halves.length; done *= 2) {
    halves.copyWithin(done, 0, Math.min(done, halves.length - done));
  }
  const shape = [ROWS, COLUMNS];
  Deno.writeFileSync(
    `${folders.models}/large/${FILE}`,
    tensorFile({ "h.q_proj.weight": { dtype: "BF16", shape, bytes } }),
  );
  Deno.writeTextFileSync(`${folders.models}/large/config.json`, "{}");
  writeAdapter(`${folders.adapters}/poet`, 1);
  return folders;
}

/** An adapter of the large model; another `seed` is another one. */
function writeAdapter(folder: string, seed: number): void {
  Deno.mkdirSync(folder, { recursive: true });
  const vector = Float32Array.from({ length: COLUMNS }, (_, i) => (i * 31 + seed * 17) % 23 - 11);
  Deno.writeFileSync(
    `${folder}/adapter_model.safetensors`,
    tensorFile({
      "base_model.model.h.q_proj.ether_u_in": {
        dtype: "F32",
        shape: [4, COLUMNS / 4],
        bytes: new Uint8Array(vector.buffer),
      },
    }),
  );
  Deno.writeTextFileSync(
    `${folder}/adapter_config.json`,
    JSON.stringify(etherConfig({ num_blocks: 4, layout: "paper" })),
  );
}

const folders = largeHub();
const repositories = await openRepositories(folders);
Deno.test.afterAll(() => repositories.close());

const { commit } = (await repositories.revision((await repositories.base("large"))!, "poet"))!;
const PATH = `/large/resolve/${commit}/${FILE}`;

function ask(given: Repositories, init?: RequestInit) {
  const app = createApp({ repositories: given });
  return Promise.resolve(app.fetch(new Request(`http://hub.example${PATH}`, init)));
}

Deno.test("HEAD, 304, 412 and 416 make no stream; a GET makes none of its bytes before they are read", async () => {
  const { repositories: given, watch } = watched(repositories);
  const head = await ask(given, { method: "HEAD" });
  assertEquals(head.headers.get("content-length"), String((await Deno.stat(`${folders.models}/large/${FILE}`)).size));
  const etag = head.headers.get("etag")!;
  await ask(given, { headers: { "if-none-match": etag } });
  await ask(given, { headers: { "if-match": '"x"' } });
  await ask(given, { headers: { range: "bytes=999999999-" } });
  assertEquals(watch.streams, 0);
  const response = await ask(given);
  await settle();
  assertEquals([watch.streams, watch.pulls], [1, 0]);
  await response.body!.cancel();
  assertEquals([watch.pulls, watch.cancelled], [0, 1]);
});

Deno.test("a reader is never more than its own piece ahead, and pieces are at most 1 MiB", async () => {
  const { repositories: given, watch } = watched(repositories);
  const reader = (await ask(given)).body!.getReader();
  for (let count = 1; count <= 5; count++) {
    const { value } = await reader.read();
    assert(value!.byteLength <= PIECE);
    await settle();
    assertEquals(watch.pulls, count);
  }
  await reader.cancel();
  await settle();
  assertEquals([watch.pulls, watch.running, watch.cancelled], [5, 0, 1]);
});

Deno.test("a range deep in the file computes no more than itself", async () => {
  const { repositories: given, watch } = watched(repositories);
  const response = await ask(given, { headers: { range: "bytes=50000001-50999999" } });
  assertEquals([response.status, (await response.bytes()).byteLength], [206, 999_999]);
  assertEquals(watch.byteLength, 999_999);
});

Deno.test("a client that reads nothing costs what a connection holds, and one that goes away ends the work", async () => {
  const { repositories: given, watch } = watched(repositories);
  await using server = listen(given);
  const client = await server.request(`GET ${PATH} HTTP/1.1\r\nHost: x\r\n\r\n`);
  const stalled = await settled(() => watch.pulls);
  assert(stalled >= 1 && stalled < 32, `${stalled} pieces of 64`);
  client.close();
  await until(() => watch.cancelled === 1);
  const pulls = watch.pulls;
  await settle();
  assertEquals([watch.pulls, watch.running], [pulls, 0]);
  assert(pulls <= stalled + 1);
});

Deno.test("a body of another length than was said, and one that fails, cut the connection", async () => {
  const extra = new Uint8Array(10);
  const changes: Record<
    string,
    (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => ReadableStream<Uint8Array<ArrayBuffer>>
  > = {
    "a byte too few": (stream) => pieces(stream, (piece, isLast) => isLast ? piece.slice(1) : piece),
    "ten bytes too many": (stream) => pieces(stream, (piece, isLast) => isLast ? joined(piece, extra) : piece),
    "an error in the middle": (stream) =>
      pieces(stream, () => {
        throw new Error("a disk fails");
      }),
  };
  for (const [name, change] of Object.entries(changes)) {
    const { repositories: given } = watched(repositories, change);
    await using server = listen(given);
    const response = await fetch(`${server.url}${PATH}`, { headers: { range: "bytes=0-3000000" } });
    assertEquals(response.status, 206);
    await assertRejects(() => response.bytes(), Error, undefined, name);
  }
  const { repositories: given } = watched(repositories);
  await using server = listen(given);
  assertEquals(
    (await (await fetch(`${server.url}${PATH}`, { headers: { range: "bytes=0-3000000" } })).bytes()).length,
    3_000_001,
  );
});

Deno.test("an adapter that is replaced during a download: the old bytes, or a broken connection", async () => {
  const own = { models: folders.models, adapters: `${temporaryFolder()}/adapters` };
  copyFolder(`${folders.adapters}/poet`, `${own.adapters}/poet`);
  const expected = await (await ask(repositories)).bytes();
  const server = await openRepositories(own);
  const app = createApp({ repositories: server });
  const response = await app.fetch(new Request(`http://hub.example${PATH}`));
  const reader = response.body!.getReader();
  let at = 0;
  const compare = (piece: Uint8Array) => {
    assert(piece.every((byte, i) => byte === expected[at + i]), `another byte after ${at}`);
    at += piece.byteLength;
  };
  for (let count = 0; count < 8; count++) compare((await reader.read()).value!);
  writeAdapter(`${own.adapters}/poet`, 2);
  // Until the new one is what is served.
  await until(async () => {
    const now = await app.fetch(new Request(`http://hub.example/large/resolve/poet/${FILE}`, { method: "HEAD" }));
    return !now.headers.get("location")!.includes(commit);
  });
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    compare(value);
  }
  assertEquals(at, expected.byteLength);
  assertEquals((await app.fetch(new Request(`http://hub.example${PATH}`, { method: "HEAD" }))).status, 404);
  await server.close();
});

Deno.test("a base that is replaced during a download breaks the connection instead of mixing", async () => {
  const models = `${temporaryFolder()}/models`;
  copyFolder(`${folders.models}/large`, `${models}/large`);
  const server = await openRepositories({ models, adapters: folders.adapters });
  const app = createApp({ repositories: server });
  const response = await app.fetch(
    new Request(`http://hub.example${PATH}`, { headers: { range: "bytes=0-20000000" } }),
  );
  const expected = await (await ask(repositories)).bytes();
  // As a careful operator does it: written beside, and renamed.
  const other = await Deno.readFile(`${models}/large/${FILE}`);
  other.fill(0x11, other.length >> 1);
  await Deno.writeFile(`${models}/large/new`, other);
  await Deno.rename(`${models}/large/new`, `${models}/large/${FILE}`);
  const bytes = await response.bytes().catch(() => null);
  assert(bytes === null || bytes.every((byte, i) => byte === expected[i]));
  await server.close();
});

/** Changes the pieces of a stream; the last one is told. */
function pieces(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  change: (piece: Uint8Array<ArrayBuffer>, isLast: boolean) => Uint8Array<ArrayBuffer>,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return ReadableStream.from((async function* () {
    let held: Uint8Array<ArrayBuffer> | null = null;
    for await (const piece of stream) {
      if (held !== null) yield change(held, false);
      held = piece;
    }
    if (held !== null) yield change(held, true);
  })());
}

function joined(a: Uint8Array<ArrayBuffer>, b: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(a.byteLength + b.byteLength);
  all.set(a);
  all.set(b, a.byteLength);
  return all;
}

/** A server on this machine. */
function listen(given: Repositories) {
  const app = createApp({ repositories: given });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {}, onError }, app.fetch);
  const { port } = server.addr;
  return {
    url: `http://127.0.0.1:${port}`,
    async request(text: string): Promise<Deno.TcpConn> {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port });
      await connection.write(new TextEncoder().encode(text));
      return connection;
    },
    async [Symbol.asyncDispose]() {
      await server.shutdown();
    },
  };
}

/** A body that fails after its head went out is told here too. */
function onError(): Response {
  return new Response(null, { status: 500 });
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 50));
}

/** A number that has not changed for a while. */
async function settled(read: () => number): Promise<number> {
  let [last, same] = [-1, 0];
  await until(async () => {
    const now = read();
    same = now === last && now > 0 ? same + 1 : 0;
    last = now;
    await settle();
    return same === 5;
  });
  return last;
}

/** Waits, but not for ever. */
async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !await isTrue(); tries++) {
    assert(tries < 1000, "it does not come about");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

Deno.test("counters: pieces of merged files are counted, and whoever waits for an engine", async () => {
  const { repositories: own } = await openServer(folders);
  await own.start();
  const metrics = async () => {
    const text = await (await createApp({ repositories: own }).request("/metrics")).text();
    const read = (name: string) => Number(new RegExp(`^ether_${name}_total (.+)$`, "m").exec(text)![1]);
    return { pieces: read("pieces"), engine_waits: read("engine_waits") };
  };
  const ranged = async () => await (await ask(own, { headers: { range: "bytes=0-3000000" } })).bytes();
  assertEquals(await metrics(), { pieces: 0, engine_waits: 0 });
  await ranged();
  const { pieces, engine_waits } = await metrics();
  assert(pieces >= 3 && engine_waits === 0, `${pieces} ${engine_waits}`);
  await Promise.all(Array.from({ length: 6 }, ranged));
  const after = await metrics();
  assertEquals(after.pieces, 7 * pieces);
  assert(after.engine_waits > 0 && after.engine_waits < after.pieces, String(after.engine_waits));
  await own.close();
});
