/** Whatever a client writes on its connection, the server's answer is no 5xx, and nothing outside a repository is read. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { createApp } from "../../../routes/app.ts";
import { hubFolders, openRepositories, REPO } from "./small_hub.ts";

const folders = hubFolders();
// What a path that leaves the folders would find.
Deno.writeTextFileSync(`${folders.models}/../secret.json`, "the secret");
Deno.writeTextFileSync(`${folders.models}/tiny/secret.json`, "the secret");
const repositories = await openRepositories(folders);
const server = Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen: () => {} },
  createApp({ repositories, readToken: undefined }).fetch,
);
Deno.test.afterAll(async () => {
  await server.shutdown();
  await repositories.close();
});

/** Sends bytes as they are; what comes back until the server closes the connection. */
async function send(head: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: server.addr.port });
  const bytes = Uint8Array.from(head, (character) => character.charCodeAt(0) & 0xff);
  await connection.write(bytes).catch(() => {});
  return await new Response(connection.readable).text().catch(() => "");
}

async function statusOf(path: string, headers: Readonly<Record<string, string>> = {}, method = "GET"): Promise<number> {
  const lines = Object.entries({ host: "x", connection: "close", ...headers }).map(([name, value]) =>
    `${name}: ${value}\r\n`
  );
  const answer = await send(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
  assert(!answer.includes("the secret"), path);
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
}

const LEAVING = [
  `/${REPO}/resolve/main/../secret.json`,
  `/${REPO}/resolve/main/..%2Fsecret.json`,
  `/${REPO}/resolve/main/%2e%2e/secret.json`,
  `/${REPO}/resolve/main/..%5Csecret.json`,
  `/${REPO}/resolve/main/config.json%00.txt`,
  `/${REPO}/resolve/main//config.json`,
  `/${REPO}/resolve/main/.%2e%2F.%2e%2Fsecret.json`,
  `/${REPO}/resolve/..%2F..%2F..%2Fsecret.json/config.json`,
  `/tiny/..%2F..%2Fsecret.json/resolve/main/config.json`,
  `/../${REPO}/resolve/main/secret.json`,
  `/tiny/%2e%2e/resolve/main/secret.json`,
  `//${REPO}/resolve/main/config.json`,
  `/api/models/${REPO}/tree/main/..`,
  `/api/models/..%2Fx/tree/main`,
];

for (const path of LEAVING) {
  Deno.test(`paths: ${path} is refused`, async () => {
    const status = await statusOf(path);
    assert(status === 400 || status === 404, `${status}`);
  });
}

Deno.test("requests: no Host, a Host that is none, an absolute target, HTTP/1.0", async () => {
  const path = `/${REPO}/resolve/main/config.json`;
  const close = "connection: close\r\n\r\n";
  const first = async (text: string) => (await send(text)).split("\r\n")[0]!;
  assertEquals(await first(`GET ${path} HTTP/1.1\r\n${close}`), "HTTP/1.1 307 Temporary Redirect");
  assertEquals(
    await first(`GET http://other.example${path} HTTP/1.1\r\nhost: x\r\n${close}`),
    "HTTP/1.1 307 Temporary Redirect",
  );
  assert(/^HTTP\/1\.[01] 307/.test(await first(`GET ${path} HTTP/1.0\r\n\r\n`)));
  for (const host of ["[", "a b", "%", "x:99999999", "é"]) {
    assert(!/^HTTP\/1.1 5/.test(await first(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\n${close}`)), host);
  }
});

Deno.test("requests: any path, method and headers get an answer that is no 5xx", async () => {
  const piece = fc.oneof(
    fc.constantFrom(
      "tiny",
      "llama",
      "resolve",
      "raw",
      "main",
      "etherplus",
      "api",
      "models",
      "tree",
      "revision",
      "refs",
    ),
    fc.constantFrom(
      "commits",
      "paths-info",
      "auth-check",
      "..",
      ".",
      "",
      "%2e%2e",
      "%2F",
      "%00",
      "%zz",
      "%",
      "%ff",
      "\\",
      "+",
      "@",
    ),
    fc.stringMatching(/^[!-~]{0,12}$/).map((text) => text.replace(/[/?#]/g, "_")),
  );
  const known = fc.constantFrom(
    `/${REPO}/resolve/etherplus/config.json`,
    `/${REPO}/resolve/`,
    `/api/models/${REPO}`,
    `/api/models/${REPO}/tree/etherplus`,
  );
  const path = fc.oneof(
    fc.array(piece, { maxLength: 8 }).map((pieces) => `/${pieces.join("/")}`),
    fc.tuple(known, fc.array(piece, { maxLength: 3 })).map(([start, pieces]) => [start, ...pieces].join("/")),
  );
  const value = fc.oneof(
    fc.stringMatching(/^[ -~\x80-\xff]{0,40}$/),
    fc.constantFrom("bytes=0-,-1,5-", "*", '"x"', "Bearer x", "-1"),
  );
  const name = fc.constantFrom(
    "range",
    "if-range",
    "if-match",
    "if-none-match",
    "authorization",
    "accept",
    "x-request-id",
    "origin",
  );
  const query = fc.constantFrom(
    "",
    "?",
    "?recursive=True&expand=%zz",
    "?blobs=1&cursor=%00",
    "?a=%",
    "?expand[]=x&expand=y",
  );
  const method = fc.constantFrom("GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND");
  await fc.assert(
    fc.asyncProperty(
      path,
      query,
      method,
      fc.dictionary(name, value, { maxKeys: 3 }),
      async (target, text, verb, headers) => {
        const length = verb === "POST" ? { "content-length": "0" } : {};
        const status = await statusOf(target + text, { ...headers, ...length }, verb);
        assert(status >= 200 && status < 500, `${verb} ${target}${text} ${JSON.stringify(headers)}: ${status}`);
      },
    ),
    { numRuns: 600 },
  );
});

Deno.test("requests: bodies of paths-info that are anything", async () => {
  const body = fc.oneof(fc.string({ unit: "binary" }), fc.json(), fc.json().map((text) => `{"paths": ${text}}`));
  const type = fc.constantFrom(
    "application/json",
    "application/x-www-form-urlencoded",
    "application/json; charset=x",
    "x",
    "",
  );
  await fc.assert(
    fc.asyncProperty(body, type, async (text, contentType) => {
      const response = await fetch(`http://127.0.0.1:${server.addr.port}/api/models/${REPO}/paths-info/main`, {
        ...{ method: "POST", body: new TextEncoder().encode(text), headers: { "content-type": contentType } },
      });
      await response.body?.cancel();
      assert(response.status < 500, `${response.status}`);
    }),
    { numRuns: 200 },
  );
});
