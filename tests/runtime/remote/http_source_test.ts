import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { EtherError } from "../../../runtime/error.ts";
import type { ByteSource } from "../../../runtime/io/source.ts";
import { writeLocator } from "../../../runtime/remote/locator.ts";
import {
  cutAfter,
  type LoopbackHost,
  serveBytes,
  type Serving,
  someBytes,
  startHost,
  storageFor,
} from "./loopback_host.ts";

const MIB = 1 << 20;

/** Reads bytes of a source into a buffer of their own. */
async function readBytes(source: ByteSource, start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
  const into = new Uint8Array(end - start);
  await source.read(start, into);
  return into;
}

/** A file of a host; the locator has no ETag, as a Hub's. */
function locate(host: LoopbackHost, size: number, more: { etag?: string; sha256?: string } = {}): string {
  return writeLocator({ name: "hf://a/b/file", url: `${host.origin}/file`, size, ...more });
}

/** Runs a test on a file of some bytes; the answers are the test's. */
async function withFile(
  size: number,
  test: (file: {
    host: LoopbackHost;
    bytes: Uint8Array<ArrayBuffer>;
    source: ByteSource;
    waits: number[];
    notices: string[];
  }) => Promise<void>,
): Promise<void> {
  const bytes = someBytes(size);
  await using host = startHost((request) => serveBytes(request, bytes));
  using made = storageFor(host.origin);
  const source = made.storage.openSource(locate(host, size));
  await test({ host, bytes, source, waits: made.waits, notices: made.notices });
  source.close();
}

Deno.test("http source: any read is the file's bytes, whatever blocks it touches", async () => {
  await withFile(3 * MIB + 17, async ({ bytes, source }) => {
    assertEquals([source.name, source.size], ["hf://a/b/file", 3 * MIB + 17]);
    const reads = [[0, 8], [MIB - 3, MIB + 5], [5, 3 * MIB], [3 * MIB, 3 * MIB + 17], [7, 7], [2 * MIB, 2 * MIB + 1]];
    for (const [start, end] of reads) {
      assertEquals(await readBytes(source, start!, end!), bytes.slice(start, end), `${start} to ${end}`);
    }
    const error = await assertRejects(() => readBytes(source, 3 * MIB, 3 * MIB + 18), EtherError);
    assertEquals(error.code, "io_error");
  });
});

Deno.test("http source: a file that is read front to back is few requests, each later one with If-Range", async () => {
  await withFile(40 * MIB + 9, async ({ host, bytes, source }) => {
    const into = new Uint8Array(bytes.byteLength);
    // Steps that no block border is a multiple of.
    for (let at = 0; at < into.byteLength; at += 900_001) {
      await source.read(at, into.subarray(at, Math.min(at + 900_001, into.byteLength)));
    }
    assert(into.every((byte, i) => byte === bytes[i]), "other bytes");
    assert(host.asked.length <= 7, `${host.asked.length} requests`);
    assertEquals(host.asked[0]!.headers.get("if-range"), null);
    assertEquals(new Set(host.asked.slice(1).map(({ headers }) => headers.get("if-range"))), new Set(['"v1"']));
    assertEquals(new Set(host.asked.map(({ headers }) => headers.get("accept-encoding"))), new Set(["identity"]));
  });
});

Deno.test("http source: a small read asks for its block and no more; what is in the cache is not asked again", async () => {
  await withFile(64 * MIB, async ({ host, bytes, source }) => {
    assertEquals(await readBytes(source, 40 * MIB + 5, 40 * MIB + 9), bytes.slice(40 * MIB + 5, 40 * MIB + 9));
    await readBytes(source, 40 * MIB, 41 * MIB);
    assertEquals(host.asked.map(({ range }) => range), [`bytes=${40 * MIB}-${41 * MIB - 1}`]);
  });
});

Deno.test("http source: readers of one block share one request, and one that is closed leaves the others alone", async () => {
  const bytes = someBytes(MIB);
  const gate = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  await using host = startHost(async (request) => {
    arrived.resolve();
    await gate.promise;
    return serveBytes(request, bytes);
  });
  using made = storageFor(host.origin);
  const sources = [1, 2, 3].map(() => made.storage.openSource(locate(host, MIB)));
  const reads = sources.map((source) => readBytes(source, 0, MIB));
  // The first is the one that fetches.
  const closed = assertRejects(() => reads[0]!, EtherError, "closed");
  await arrived.promise;
  sources[0]!.close();
  await closed;
  gate.resolve();
  assertEquals(await reads[1], bytes);
  assertEquals(await reads[2], bytes);
  assertEquals(host.asked.length, 2, "the closed one's, and one for both others");
  for (const source of sources) source.close();
});

Deno.test("http source: a cut connection goes on from the byte that it got to", async () => {
  await withFile(2 * MIB, async ({ host, bytes, source, waits, notices }) => {
    let cuts = 2;
    host.answer = (request) => {
      const cut: Serving = { body: (part) => cutAfter(part, 300_000) };
      return serveBytes(request, bytes, cuts-- > 0 ? cut : {});
    };
    assertEquals(await readBytes(source, 0, 2 * MIB), bytes);
    assertEquals(host.asked.map(({ range }) => range), [
      `bytes=0-${2 * MIB - 1}`,
      `bytes=300000-${2 * MIB - 1}`,
      `bytes=600000-${2 * MIB - 1}`,
    ]);
    assertEquals(host.asked[2]!.headers.get("if-range"), '"v1"');
    assertEquals(waits, [250, 500]);
    assertMatch(notices[0]!, /^hf:\/\/a\/b\/file: .*cut.*; attempt 2 in 0\.25 s$/);
  });
});

Deno.test("http source: a host that never gets through is an error after a bounded number of attempts", async () => {
  await withFile(MIB, async ({ host, source, waits }) => {
    host.answer = () => new Response("wait", { status: 503 });
    const error = await assertRejects(() => readBytes(source, 0, 9), EtherError, "the host answers 503, 6 times");
    assertEquals([error.code, error.file], ["io_error", "hf://a/b/file"]);
    assertEquals(waits, [250, 500, 1000, 2000, 4000]);
    assertEquals(host.asked.length, 6);
  });
});

Deno.test("http source: 429 with Retry-After is waited for, up to a bound", async () => {
  await withFile(MIB, async ({ host, bytes, source, waits }) => {
    const later = (seconds: string) => new Response(null, { status: 429, headers: { "retry-after": seconds } });
    let refusals = 1;
    host.answer = (request) => refusals-- > 0 ? later("7") : serveBytes(request, bytes);
    assertEquals(await readBytes(source, 3, 9), bytes.slice(3, 9));
    assertEquals(waits, [7000]);
  });
  await withFile(MIB, async ({ host, source, waits }) => {
    host.answer = () => new Response(null, { status: 429, headers: { "retry-after": "86400" } });
    const error = await assertRejects(() => readBytes(source, 3, 9), EtherError);
    assertEquals([error.code, error.hint, waits], ["io_error", "try again in 86400 s", []]);
  });
});

Deno.test("http source: a host that stands still is cut off and asked again", async () => {
  const bytes = someBytes(1000);
  await using host = startHost();
  let stalls = 2;
  host.answer = (request) => {
    // First before the answer, then in the middle of the body.
    if (stalls === 2) return stalls--, new Promise<Response>(() => {});
    const stand = () =>
      new ReadableStream<Uint8Array<ArrayBuffer>>({ start: (controller) => controller.enqueue(bytes.slice(0, 100)) });
    return serveBytes(request, bytes, stalls-- === 1 ? { body: stand } : {});
  };
  using made = storageFor(host.origin, {}, { patience: 200 });
  const source = made.storage.openSource(locate(host, 1000));
  assertEquals(await readBytes(source, 0, 1000), bytes);
  assertEquals(host.asked.map(({ range }) => range), ["bytes=0-999", "bytes=0-999", "bytes=100-999"]);
  source.close();
});

Deno.test("http source: closing ends a read that waits", async () => {
  await withFile(MIB, async ({ host, source }) => {
    const arrived = Promise.withResolvers<void>();
    host.answer = () => {
      arrived.resolve();
      return new Promise<Response>(() => {});
    };
    const read = assertRejects(() => readBytes(source, 0, 9), EtherError);
    await arrived.promise;
    source.close();
    assertEquals((await read).code, "interrupted");
  });
});

/** Answers that are not what was asked for: at once (`first`), or after block 0 was read as it should be. */
const WRONG: readonly (readonly [name: string, serving: Serving | ((r: Request) => Response), error: RegExp])[] = [
  ["another ETag", { etag: '"v2"' }, /^source_changed: hf:.*its ETag was "v1" and is "v2"/],
  ["another ETag, and the If-Range ignored", (r) => {
    const headers = new Headers(r.headers);
    headers.delete("if-range");
    return serveBytes(new Request(r.url, { headers }), someBytes(3 * MIB), { etag: '"v2"' });
  }, /^source_changed: .*its ETag was "v1" and is "v2"/],
  ["a weak ETag", { etag: 'W/"v1"' }, /^source_changed|^unsupported/],
  ["no ETag", (r) => {
    const headers = new Headers(r.headers);
    headers.delete("if-range");
    return serveBytes(new Request(r.url, { headers }), someBytes(3 * MIB), { etag: null });
  }, /^unsupported: .*no strong ETag/],
  ["the whole file", (r) => serveBytes(new Request(r.url), someBytes(3 * MIB)), /^unsupported: .*whole file/],
  ["gzip", { headers: { "content-encoding": "gzip" } }, /^unsupported: .*encoded as gzip/],
  [
    "the wrong part",
    { headers: { "content-range": `bytes 0-${MIB - 1}/${3 * MIB}` } },
    /^io_error: .*bytes 0 to 1048575/,
  ],
  ["a part that begins elsewhere", {
    headers: { "content-range": `bytes ${MIB}-${3 * MIB - 1}/${3 * MIB}` },
  }, /^io_error: .*bytes 1048576 to 3145727 where 2097152 to 3145727/],
  ["a part of a file of another size", {
    headers: { "content-range": `bytes ${2 * MIB}-${3 * MIB - 1}/${4 * MIB}` },
  }, /^source_changed: .*had 3145728 bytes and has 4194304/],
  ["no Content-Range", { headers: { "content-range": null } }, /^io_error: .*without saying which/],
  ["a shorter file", (r) => serveBytes(r, someBytes(5)), /^source_changed/],
  ["more bytes than asked for", {
    body: (part) => ReadableStream.from([part, new Uint8Array(3)]),
    headers: { "content-length": null },
  }, /^io_error: .*more bytes than it was asked for/],
  ["fewer bytes than asked for", {
    body: (part) => part.slice(0, 10),
    headers: { "content-length": null },
  }, /^io_error: .*ended at byte .*6 times/],
  ["404", () => new Response(null, { status: 404 }), /^not_found/],
  ["403", () => new Response(null, { status: 403 }), /^access_denied/],
];

for (const [name, serving, expected] of WRONG) {
  Deno.test(`http source: ${name} is refused, and no byte of it used`, async () => {
    await withFile(3 * MIB, async ({ host, bytes, source }) => {
      await readBytes(source, 0, 9);
      const wrong = typeof serving === "function" ? serving : (r: Request) => {
        // Fewer bytes on every attempt: what came before is kept, so that each gets a little further.
        return serveBytes(r, bytes, serving);
      };
      host.answer = wrong;
      const error = await assertRejects(() => readBytes(source, 2 * MIB, 3 * MIB), EtherError);
      assertMatch(error.toLine(), expected);
      assertEquals(error.file, "hf://a/b/file");
      host.answer = (request) => serveBytes(request, bytes);
      assertEquals(await readBytes(source, 2 * MIB, 3 * MIB), bytes.slice(2 * MIB));
    });
  });
}

Deno.test("http source: an ETag of the locator is asked for with the first read already", async () => {
  const bytes = someBytes(1000);
  await using host = startHost((request) => serveBytes(request, bytes, { etag: '"new"' }));
  using made = storageFor(host.origin);
  const source = made.storage.openSource(locate(host, 1000, { etag: '"old"' }));
  const error = await assertRejects(() => readBytes(source, 0, 9), EtherError);
  assertEquals([error.code, host.asked[0]!.headers.get("if-range")], ["source_changed", '"old"']);
  source.close();
});

Deno.test("http source: a redirecting Hub's ETag has to be the SHA-256 of its list", async () => {
  const bytes = someBytes(1000);
  await using store = startHost((request) => serveBytes(request, bytes));
  await using hub = startHost(() => {
    const headers = { location: `${store.origin}/blob`, "x-linked-etag": `"${"a".repeat(64)}"` };
    return new Response(null, { status: 302, headers });
  });
  using made = storageFor(hub.origin, { hosts: [store.origin] });
  for (const [sha256, code] of [["a".repeat(64), null], ["b".repeat(64), "source_changed"]] as const) {
    const source = made.storage.openSource(
      writeLocator({ name: "n", url: `${hub.origin}/${code}`, size: 1000, sha256 }),
    );
    const result = await readBytes(source, 0, 1000).catch((error) => error.code);
    assertEquals(result, code ?? bytes);
    source.close();
  }
});
