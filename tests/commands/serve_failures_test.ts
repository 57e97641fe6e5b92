import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { addFiles, makeFolder, tensorFile } from "./made_files.ts";
import { type ServerProcess, startEntry, startServer } from "./server_process.ts";
import { get, makeFolders, ready, resolve, SHARD } from "./served.ts";

/** The same server, by its command and as the entry that a platform runs. */
const HOSTS: readonly (readonly [string, (models: string, adapters: string) => Promise<ServerProcess>])[] = [
  ["serve", (models, adapters) => startServer(["--models", models, "--adapters", adapters])],
  [
    "deno serve main.ts",
    (models, adapters) =>
      startEntry(["--allow-read", "--allow-net", "--allow-env"], { ETHER_MODELS: models, ETHER_ADAPTERS: adapters }),
  ],
];

for (const [name, start] of HOSTS) {
  Deno.test(`${name}: a stream that breaks is told in the log, with its request, and nowhere else`, async () => {
    const { models, adapters } = makeFolders();
    await using server = await start(models, adapters);
    await ready(server);
    const { pinned } = await resolve(server, "ether");
    // The base goes away between the headers of the answer and the bytes.
    Deno.removeSync(`${models}/org/llama/${SHARD}`);
    const headers = { "x-request-id": "broken-1" };
    await assertRejects(async () => await (await fetch(server.url + pinned, { headers })).bytes());
    await get(`${server.url}/healthz`);
    const lines = server.stdout().trim().split("\n").map((line) => JSON.parse(line));
    const line = lines.find(({ outcome }) => outcome === "failed");
    assertEquals([line.level, line.request_id, line.msg, typeof line.code], ["error", "broken-1", "request", "string"]);
    assertEquals(line.detail.startsWith(`${line.code}: `), true, line.detail);
    assertEquals(server.stderr().includes("    at "), false, server.stderr());
    assertEquals(server.stderr().includes(SHARD), false, server.stderr());
  });

  Deno.test(`${name}: each base that cannot be served is one line`, async () => {
    const models = makeFolder({ "far.json": { source: "https://inner.example/secret/" } }, "models");
    addFiles(models, { "torn/model.safetensors": "not a header" });
    const one = { dtype: "F32", shape: [1], bytes: new Uint8Array(4) } as const;
    addFiles(models, { "whole/model.safetensors": tensorFile({ a: one }) });
    await using server = await start(models, makeFolder({}, "adapters"));
    await ready(server);
    await get(`${server.url}/far/resolve/main/config.json`);
    const written = `${server.stderr()}${server.stdout()}`;
    for (const line of [/torn: bad_header: [^\n"]+/g, /far: unsupported: [^\n"]*inner\.example[^\n"]*/g]) {
      assertEquals([...written.matchAll(line)].length, 1, written);
    }
    const state = JSON.parse((await get(`${server.url}/readyz`)).text);
    assertEquals(state.errors, [{ id: "far", code: "unsupported" }, { id: "torn", code: "bad_header" }]);
  });
}

Deno.test("serve: readers are told a repository's id, and not where it comes from", async () => {
  await using host = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    if (!request.url.includes("/loop/")) return new Response(null, { status: 403 });
    return new Response(null, { status: 302, headers: { location: request.url } });
  });
  const origin = `http://127.0.0.1:${host.addr.port}`;
  const models = makeFolder({
    "shut.json": { source: `${origin}/secret/` },
    "round.json": { source: `${origin}/loop/` },
    "refused.json": { source: "https://other.example/secret/" },
  }, "models");
  await using server = await startServer(["--models", models, "--allow-hosts", origin]);
  for (const id of ["shut", "round", "refused"]) {
    for (const path of [`/${id}/resolve/main/config.json`, `/api/models/${id}`]) {
      const { status, headers, text } = await get(server.url + path);
      assertEquals(status >= 400, true);
      const said = [text, ...headers.values()].join("\n");
      assertEquals(/secret|loop|other\.example|127\.0\.0\.1/.test(said), false, said);
    }
    const merge = JSON.stringify({ base: id, adapters: [] });
    const init = { method: "POST", headers: { "content-type": "application/json" }, body: merge };
    const { text } = await get(`${server.url}/v1/merges`, init);
    assertEquals(/secret|loop|other\.example|127\.0\.0\.1/.test(text), false, text);
  }
  assertMatch(server.stderr(), /^warning: shut: access_denied: .*\/secret/m);
  assertMatch(server.stderr(), /^warning: refused: host_refused: .*other\.example/m);
});
