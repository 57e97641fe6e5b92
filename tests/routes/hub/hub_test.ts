/** The Hub's routes over the model of `fixtures/llama`, in this process. */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import fc from "fast-check";
import { Hono } from "hono";
import { createApp } from "../../../routes/app.ts";
import { LLAMA, mergeFixture } from "../../fixtures/merge_fixture.ts";
import { ask, copyFolder, hubFolders, openRepositories, REPO } from "./small_hub.ts";

const SHARDS = [1, 2, 3].map((number) => `model-0000${number}-of-00003.safetensors`);

const folders = hubFolders();
copyFolder(`${LLAMA}/../golden/ether/ether-in-paper-f32`, `${folders.adapters}/foreign`);
Deno.renameSync(
  `${folders.adapters}/foreign/adapter.safetensors`,
  `${folders.adapters}/foreign/adapter_model.safetensors`,
);
const modelFolder = `${folders.models}/${REPO}`;
Deno.mkdirSync(`${modelFolder}/sub dir/deep`, { recursive: true });
Deno.writeTextFileSync(`${modelFolder}/sub dir/é.txt`, "é");
Deno.writeTextFileSync(`${modelFolder}/sub dir/deep/empty.txt`, "");
Deno.writeTextFileSync(`${modelFolder}/other.bin`, "the base's weights in another format");
const repositories = await openRepositories(folders);
Deno.test.afterAll(() => repositories.close());
const app = createApp({ repositories });
const get = ask(app);

async function json(path: string) {
  const response = await get(path);
  assertEquals(response.status, 200, path);
  assertEquals(response.headers.get("content-type"), "application/json");
  // deno-lint-ignore no-explicit-any -- bodies are looked at field by field
  return await response.json() as any;
}

async function commitOf(revision: string): Promise<string> {
  return (await json(`/api/models/${REPO}/revision/${revision}`)).sha;
}

/** The head of an answer, without what belongs to one request. */
function headOf({ status, headers }: Response) {
  const { "x-request-id": _, ...others } = Object.fromEntries(headers);
  return { status, headers: others };
}

Deno.test("resolve: a movable revision redirects HEAD and GET to its commit", async () => {
  for (const revision of ["main", "HEAD", "etherplus", "etherplus@1.0", "ether@-0.5+etherplus"]) {
    const commit = await commitOf(revision);
    for (
      const [action, method] of [["resolve", "GET"], ["resolve", "HEAD"], ["raw", "GET"], ["raw", "HEAD"]] as const
    ) {
      const response = await get(`/${REPO}/${action}/${revision}/sub%20dir/%C3%A9.txt?download=true`, { method });
      assertEquals(response.status, 307);
      assertEquals(response.headers.get("location"), `/${REPO}/${action}/${commit}/sub%20dir/%C3%A9.txt`);
      assertEquals(response.headers.get("x-repo-commit"), commit);
      assertEquals(response.headers.get("content-length"), "0");
      assertEquals(response.headers.get("cache-control"), "no-cache");
    }
  }
});

Deno.test("revisions: equal recipes are one commit, and every other one is another", async () => {
  assertEquals(await commitOf("HEAD"), await commitOf("main"));
  assertEquals(await commitOf("etherplus@1"), await commitOf("etherplus"));
  assertEquals(await commitOf("etherplus%401.0000"), await commitOf("etherplus"));
  const others = [
    "main",
    "etherplus",
    "etherplus@0.5",
    "ether",
    "ether+etherplus",
    "etherplus+ether",
    "ether+ether+ether",
  ];
  const commits = await Promise.all(others.map(commitOf));
  assertEquals(new Set(commits).size, others.length);
  for (const commit of commits) assertMatch(commit, /^[0-9a-f]{40}$/);
});

Deno.test("resolve: headers of a file, and HEAD is GET without the body", async () => {
  const commit = await commitOf("etherplus");
  for (const action of ["resolve", "raw"]) {
    const path = `/${REPO}/${action}/${commit}/${SHARDS[0]}`;
    const response = await get(path);
    const { status, headers } = headOf(response);
    const bytes = await response.bytes();
    assertEquals(status, 200);
    assertMatch(headers.etag!, /^"eth1-[0-9a-f]{40}"$/);
    assertEquals(headers["x-repo-commit"], commit);
    assertEquals(headers["content-length"], String(bytes.byteLength));
    assertEquals(headers["accept-ranges"], "bytes");
    assertEquals(headers["content-type"], "application/octet-stream");
    assertEquals(headers["cache-control"], "public, max-age=31536000, immutable, no-transform");
    assertEquals(headers["content-disposition"], `inline; filename*=UTF-8''${SHARDS[0]}; filename="${SHARDS[0]}";`);
    for (const never of ["content-encoding", "x-xet-hash", "link", "x-linked-etag", "x-linked-size", "vary"]) {
      assertEquals(headers[never], undefined);
    }
    const head = await get(path, { method: "HEAD", headers: { range: "bytes=0-0" } });
    assertEquals(headOf(head), { status, headers });
    assertEquals(head.body, null);
  }
});

Deno.test("resolve: HEAD, GET, tree, siblings and index agree on every file", async () => {
  for (const revision of ["main", "etherplus", "ether@0.25+etherplus-reference"]) {
    const commit = await commitOf(revision);
    const { siblings } = await json(`/api/models/${REPO}/revision/${revision}?blobs=True`);
    const tree = (await json(`/api/models/${REPO}/tree/${revision}?recursive=True`))
      .filter((entry: { type: string }) => entry.type === "file");
    let weights = 0;
    for (const { path, size, oid, lfs } of tree) {
      const url = `/${REPO}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
      const head = await get(url, { method: "HEAD" });
      const response = await get(url);
      const bytes = await response.bytes();
      assertEquals([head.headers.get("content-length"), bytes.byteLength], [String(size), size], path);
      assertEquals(head.headers.get("etag"), response.headers.get("etag"));
      if (lfs === undefined && !path.endsWith(".safetensors")) assertEquals(oid, await gitBlob(bytes), path);
      if (lfs !== undefined) assertEquals([lfs.oid, lfs.size], [await hex("SHA-256", bytes), size], path);
      if (path.endsWith(".safetensors")) weights += tensorBytes(bytes);
    }
    assertEquals(
      siblings.map((one: { rfilename: string; size: number; blobId: string; lfs?: { sha256: string } }) => ({
        ...{ path: one.rfilename, size: one.size, oid: one.blobId, sha256: one.lfs?.sha256 },
      })),
      tree.map((one: { path: string; size: number; oid: string; lfs?: { oid: string } }) => ({
        ...{ path: one.path, size: one.size, oid: one.oid, sha256: one.lfs?.oid },
      })),
    );
    const index = await get(`/${REPO}/resolve/${commit}/model.safetensors.index.json`);
    assertEquals((await index.json()).metadata.total_size, weights);
  }
});

Deno.test("resolve: a merged revision is what the command line writes, in any ranges", async () => {
  const folder = await mergeFixture("etherplus", "--strength", "0.5");
  const commit = await commitOf("etherplus@0.5");
  for (const shard of SHARDS) {
    const expected = await Deno.readFile(`${folder}/${shard}`);
    const url = `/${REPO}/resolve/${commit}/${shard}`;
    assert(sameBytes(await (await get(url)).bytes(), expected), shard);
    await fc.assert(
      fc.asyncProperty(fc.nat(expected.length - 1), fc.nat(100_000), async (start, more) => {
        const response = await get(url, { headers: { range: `bytes=${start}-${start + more}` } });
        const end = Math.min(expected.length, start + more + 1);
        assertEquals(response.status, 206);
        assertEquals(response.headers.get("content-range"), `bytes ${start}-${end - 1}/${expected.length}`);
        assert(sameBytes(await response.bytes(), expected.slice(start, end)), `${shard} ${start} ${end}`);
      }),
      { numRuns: 20 },
    );
  }
});

/** Every pattern of ranges that Hub clients were seen to send. */
const SEEN_RANGES = [
  "0-0",
  "0-7",
  "8-1999",
  "0-100000",
  "8-200000",
  "1048576-",
  "700000-1200000",
  "-16",
  "0-",
  "0-99999999",
];

Deno.test("resolve: the ranges that clients send are slices of the whole", async () => {
  const url = `/${REPO}/resolve/${await commitOf("ether+etherplus")}/${SHARDS[0]}`;
  const whole = await (await get(url)).bytes();
  for (const range of SEEN_RANGES) {
    const response = await get(url, { headers: { range: `bytes=${range}` } });
    const [, start, end, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.headers.get("content-range")!)!.map(Number);
    assertEquals([response.status, size], [206, whole.byteLength]);
    assert(sameBytes(await response.bytes(), whole.slice(start, end! + 1)), range);
  }
  const several = await get(url, { headers: { range: "bytes=0-7,-5" } });
  assertEquals(several.status, 206);
  assertMatch(several.headers.get("content-type")!, /^multipart\/byteranges; boundary=/);
  assertEquals((await several.bytes()).byteLength, Number(several.headers.get("content-length")));
});

Deno.test("resolve: 416 says the length, 412 and 304 go by the tag", async () => {
  const commit = await commitOf("etherplus");
  const url = `/${REPO}/resolve/${commit}/${SHARDS[1]}`;
  const { headers } = await get(url, { method: "HEAD" });
  const beyond = await get(url, { headers: { range: "bytes=99999999-" } });
  assertEquals([beyond.status, beyond.headers.get("content-range")], [416, `bytes */${headers.get("content-length")}`]);
  assertEquals(typeof (await beyond.json()).error, "string");
  const unchanged = await get(url, { headers: { "if-none-match": headers.get("etag")! } });
  assertEquals([unchanged.status, unchanged.headers.get("x-repo-commit"), unchanged.body], [304, commit, null]);
  assertEquals((await get(url, { headers: { "if-match": '"other"' } })).status, 412);
});

Deno.test("entity tags: equal if and only if the bytes are", async () => {
  const byTag = new Map<string, string>();
  const byDigest = new Map<string, string>();
  for (const revision of ["main", "ether", "etherplus", "etherplus-reference", "etherplus@0.5", "ether@0"]) {
    const commit = await commitOf(revision);
    for (const { path } of (await json(`/api/models/${REPO}/tree/${commit}?recursive=true`))) {
      const response = await get(`/${REPO}/resolve/${commit}/${encodeURI(path)}`);
      if (response.status !== 200) continue;
      const tag = response.headers.get("etag")!;
      const digest = await hex("SHA-256", await response.bytes());
      assertEquals(byTag.get(tag) ?? digest, digest, `${revision} ${path}`);
      assertEquals(byDigest.get(digest) ?? tag, tag, `${revision} ${path}`);
      byTag.set(tag, digest);
      byDigest.set(digest, tag);
    }
  }
});

Deno.test("tree: directories, one level or all of them", async () => {
  const names = async (path: string) =>
    (await json(path)).map((one: { type: string; path: string }) => `${one.type} ${one.path}`);
  const root = await names(`/api/models/${REPO}/tree/main`);
  assert(root.includes("directory sub dir") && root.includes("file config.json") && !root.join().includes("deep"));
  assertEquals(await names(`/api/models/${REPO}/tree/main/sub%20dir`), [
    "directory sub dir/deep",
    "file sub dir/é.txt",
  ]);
  assertEquals(await names(`/api/models/${REPO}/tree/main/sub%20dir%2Fdeep`), ["file sub dir/deep/empty.txt"]);
  const all = await names(`/api/models/${REPO}/tree/main?recursive=True`);
  assertEquals(all.filter((one: string) => one.includes("sub dir")), [
    ...["directory sub dir", "directory sub dir/deep", "file sub dir/deep/empty.txt", "file sub dir/é.txt"],
  ]);
  const [entry] = await json(`/api/models/${REPO}/tree/etherplus?expand=true`);
  assertEquals([entry.lastCommit.id, entry.lastCommit.title], [await commitOf("etherplus"), "etherplus"]);
  for (const { oid } of await json(`/api/models/${REPO}/tree/main?recursive=1`)) assertMatch(oid, /^[0-9a-f]{40}$/);
});

Deno.test("a merged revision has no weights but the merged ones", async () => {
  const paths = async (revision: string) =>
    (await json(`/api/models/${REPO}/revision/${revision}`)).siblings.map((one: { rfilename: string }) =>
      one.rfilename
    );
  assert((await paths("main")).includes("other.bin"));
  assert(!(await paths("etherplus")).includes("other.bin"));
  assertEquals((await get(`/${REPO}/resolve/etherplus/other.bin`)).headers.get("x-error-code"), "EntryNotFound");
});

Deno.test("resolve: an empty file", async () => {
  const url = `/${REPO}/resolve/${await commitOf("main")}/sub%20dir/deep/empty.txt`;
  for (const method of ["GET", "HEAD"]) {
    const response = await get(url, { method });
    assertEquals([response.status, response.headers.get("content-length")], [200, "0"]);
    assertEquals((await response.bytes()).byteLength, 0);
  }
});

Deno.test("paths-info: a form and JSON; what is not there is left out", async () => {
  const url = `/api/models/${REPO}/paths-info/etherplus`;
  const form = new URLSearchParams([["paths", "config.json"], ["paths", "none"], ["paths", "sub dir"], [
    "expand",
    "True",
  ]]);
  const sent = { paths: ["config.json", "none", "sub dir"], expand: true };
  const [a, b] = await Promise.all([
    get(url, { method: "POST", body: form }),
    get(url, { method: "POST", body: JSON.stringify(sent), headers: { "content-type": "application/json" } }),
  ]);
  const items = await a.json();
  assertEquals(await b.json(), items);
  assertEquals(items.map(({ type, path }: { type: string; path: string }) => [type, path]), [
    ...[["file", "config.json"], ["directory", "sub dir"]],
  ]);
  assertEquals(items[0].lastCommit.id, await commitOf("etherplus"));
});

Deno.test("paths-info: bodies that cannot be", async () => {
  const post = async (body: string, type: string) =>
    (await get(`/api/models/${REPO}/paths-info/main`, { method: "POST", body, headers: { "content-type": type } }))
      .status;
  assertEquals(await post("{", "application/json"), 400);
  assertEquals(await post("[]", "application/json"), 400);
  assertEquals(await post('{"paths": [1]}', "application/json"), 400);
  assertEquals(await post("paths=x", "text/plain"), 415);
  assertEquals(await post("paths=x&".repeat(1001), "application/x-www-form-urlencoded"), 413);
  assertEquals(await post(`paths=${"x".repeat(300_000)}`, "application/x-www-form-urlencoded"), 413);
});

Deno.test("refs and commits", async () => {
  const { branches, converts, tags, pullRequests } = await json(`/api/models/${REPO}/refs?include_prs=1`);
  assertEquals([converts, tags, pullRequests], [[], [], []]);
  // "foreign" is there, but cannot be merged into this base.
  assertEquals(branches.map((one: { name: string }) => one.name), [
    "main",
    "ether",
    "etherplus",
    "etherplus-reference",
  ]);
  assertEquals(branches[2], {
    ...{ name: "etherplus", ref: "refs/heads/etherplus", targetCommit: await commitOf("etherplus") },
  });
  const response = await get(`/api/models/${REPO}/commits/ether+etherplus`);
  const commits = await response.json();
  assertEquals(response.headers.get("x-total-count"), String(commits.length));
  assertEquals(commits.map((one: { id: string }) => one.id), [
    await commitOf("ether+etherplus"),
    await commitOf("main"),
  ]);
});

const NONE = "0".repeat(40);
const ERRORS: readonly [path: string, status: number, code: string | null, message: RegExp][] = [
  ["/tiny/other/resolve/main/config.json", 404, "RepoNotFound", /^Repository not found$/],
  ["/other/resolve/main/config.json", 404, "RepoNotFound", /^Repository not found$/],
  ["/api/models/tiny/other", 404, "RepoNotFound", /^Repository not found$/],
  ["/api/models/a--b", 404, "RepoNotFound", /^Repository not found$/],
  ["/api/datasets/tiny/llama", 404, "RepoNotFound", /^Repository not found$/],
  ["/datasets/tiny/llama/resolve/main/x", 404, "RepoNotFound", /^Repository not found$/],
  [`/${REPO}/resolve/nobody/config.json`, 404, "RevisionNotFound", /^Invalid rev id$/],
  [`/${REPO}/resolve/${NONE}/config.json`, 404, "RevisionNotFound", /^Invalid rev id$/],
  [`/${REPO}/resolve/etherplus@1e3/config.json`, 404, "RevisionNotFound", /^bad_recipe: /],
  [`/${REPO}/resolve/%C3%A9/config.json`, 404, "RevisionNotFound", /^bad_recipe: .*\\u00e9/],
  [
    `/${REPO}/resolve/foreign/config.json`,
    404,
    "RevisionNotFound",
    /^bad_blocks: foreign\/adapter_model.safetensors: /,
  ],
  [
    `/${REPO}/resolve/ether+foreign/${SHARDS[0]}`,
    404,
    "RevisionNotFound",
    /^bad_blocks: foreign\/adapter_model.safetensors: /,
  ],
  [`/api/models/${REPO}/revision/nobody`, 404, "RevisionNotFound", /^Invalid rev id$/],
  [`/${REPO}/resolve/etherplus/none.bin`, 404, "EntryNotFound", /^Entry not found$/],
  [`/${REPO}/resolve/etherplus/adapter_config.json`, 404, "EntryNotFound", /^Entry not found$/],
  [`/${REPO}/resolve/main/sub%20dir`, 404, "EntryNotFound", /^Entry not found$/],
  [`/api/models/${REPO}/tree/etherplus/none`, 404, "EntryNotFound", /^Entry not found$/],
  [`/${REPO}/resolve/main/..%2Fx`, 400, null, /path/],
  ["/api/whoami-v2", 401, null, /^Invalid credentials in Authorization header$/],
  ["/api/agent-harnesses", 404, null, /route/],
];

for (const [path, status, code, message] of ERRORS) {
  Deno.test(`errors: ${path} is ${status} ${code}`, async () => {
    const response = await get(path);
    assertEquals([response.status, response.headers.get("x-error-code")], [status, code]);
    assertMatch(response.headers.get("x-error-message")!, message);
    assertMatch(response.headers.get("x-error-message")!, /^[\x20-\x7e]*$/);
    assertMatch(response.headers.get("x-request-id")!, /./);
    assertEquals(response.headers.get("content-type"), "application/json");
    assertEquals(response.headers.get("cache-control"), "no-store");
    assertEquals(response.headers.has("x-repo-commit"), code === "EntryNotFound");
    const head = await get(path, { method: "HEAD" });
    assertEquals(headOf(head), headOf(response));
    const text = await response.text();
    assertEquals(Object.keys(JSON.parse(text)), ["error"]);
    assertEquals(response.headers.get("content-length"), String(new TextEncoder().encode(text).byteLength));
  });
}

Deno.test("errors: other methods are 405 and say which there are", async () => {
  const deleted = await get(`/${REPO}/resolve/main/config.json`, { method: "DELETE" });
  assertEquals([deleted.status, deleted.headers.get("allow")], [405, "GET, HEAD"]);
  const asked = await get(`/api/models/${REPO}/paths-info/main`);
  assertEquals([asked.status, asked.headers.get("allow")], [405, "POST"]);
});

Deno.test("errors: a base that is not ready is 429 with a number of seconds", async () => {
  const { openServer } = await import("../../../runtime/deno/server.ts");
  const { repositories } = await openServer({ models: hubFolders().models });
  const response = await ask(createApp({ repositories }))(`/${REPO}/resolve/main/config.json`);
  assertEquals([response.status, response.headers.get("x-error-code")], [429, null]);
  assertMatch(response.headers.get("retry-after")!, /^[1-9][0-9]*$/);
  await repositories.close();
});

Deno.test("errors: no room for one more stream is 429, and the room comes back", async () => {
  const small = ask(createApp({ repositories, maxBytes: 1_500_000 }));
  const url = `/${REPO}/resolve/${await commitOf("etherplus")}/${SHARDS[0]}`;
  const first = await small(url);
  const second = await small(url);
  assertEquals([first.status, second.status, second.headers.get("retry-after")], [200, 429, "1"]);
  assertEquals((await small(url, { method: "HEAD" })).status, 200);
  await first.body!.cancel();
  const third = await small(url);
  assertEquals([third.status, (await third.bytes()).byteLength], [200, Number(third.headers.get("content-length"))]);
  assertEquals((await small(url, { headers: { range: "bytes=0-0" } })).status, 206);
});

Deno.test("tokens: without one every repository looks the same, and nothing is shared", async () => {
  const guarded = ask(createApp({ repositories, readToken: "hf_read", writeToken: "hf_write" }));
  const paths = [`/${REPO}/resolve/main/config.json`, "/tiny/other/resolve/main/config.json", "/a--b/resolve/main/x"];
  const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
  for (const path of paths) {
    const none = await guarded(path);
    assertEquals([none.status, none.headers.get("x-error-code")], [401, "GatedRepo"]);
    assertEquals(none.headers.get("www-authenticate"), "Bearer");
    assertEquals(await none.json(), { error: "Access to this repository needs a token" });
    const wrong = await guarded(path, bearer("hf_wrong"));
    assertEquals([wrong.status, wrong.headers.get("x-error-code")], [401, null]);
    assertEquals(wrong.headers.get("x-error-message"), "Invalid credentials in Authorization header");
  }
  const commit = await commitOf("main");
  const read = await guarded(`/${REPO}/resolve/${commit}/config.json`, bearer("hf_read"));
  assertEquals([read.status, read.headers.get("vary")], [200, "Authorization"]);
  assertEquals(read.headers.get("cache-control"), "private, max-age=31536000, immutable, no-transform");
  await read.body!.cancel();
  const me = await (await guarded("/api/whoami-v2", bearer("hf_read"))).json();
  assertEquals([me.type, me.auth.accessToken.role], ["user", "read"]);
  assert(!JSON.stringify(me).includes("hf_read"));
});

Deno.test("tokens: an adapter that a token is not about is as if it were not there", async () => {
  const sha256 = await hex("SHA-256", new TextEncoder().encode("hf_one"));
  const one = ask(createApp({ repositories, tokens: [{ sha256, read: true, write: false, adapters: ["ether"] }] }));
  const bearer = { headers: { authorization: "Bearer hf_one" } };
  const hidden = await commitOf("etherplus");
  for (const revision of ["etherplus", hidden, "ether+etherplus", await commitOf("ether+etherplus")]) {
    const response = await one(`/${REPO}/resolve/${revision}/config.json`, bearer);
    assertEquals([response.headers.get("x-error-code"), await response.text()], [
      ...["RevisionNotFound", '{"error":"Invalid rev id"}'],
    ]);
  }
  const { branches } = await (await one(`/api/models/${REPO}/refs`, bearer)).json();
  assertEquals(branches.map(({ name }: { name: string }) => name), ["main", "ether"]);
  assertEquals((await one(`/${REPO}/resolve/ether/config.json`, bearer)).status, 307);
});

Deno.test("mounted: redirects keep the path under which the client sees the app", async () => {
  const at = async (parent: Hono, path: string) => {
    const response = await ask(parent)(path);
    return [response.status, response.headers.get("location")];
  };
  const commit = await commitOf("ether");
  const target = `${REPO}/resolve/${commit}/config.json`;
  const routed = new Hono().route("/models/hub", app);
  assertEquals(await at(routed, `/models/hub/${REPO}/resolve/ether/config.json`), [307, `/models/hub/${target}`]);
  assertEquals((await ask(routed)(`/models/hub/${target}`)).status, 200);
  const byTenant = new Hono().route("/t/:tenant", app);
  assertEquals(await at(byTenant, `/t/a%20b/${REPO}/resolve/ether/config.json`), [307, `/t/a%20b/${target}`]);
  const behind = createApp({ repositories, publicUrl: "https://example.org/edge/" });
  const stripped = new Hono().mount("/inner", behind.fetch);
  assertEquals(await at(stripped, `/inner/${REPO}/resolve/ether/config.json`), [307, `/edge/${target}`]);
});

Deno.test("mounted: what is none of the Hub's goes on to the next route", async () => {
  const parent = new Hono().route("/", app).get("/api/mine", (context) => context.text("mine"));
  assertEquals(await (await ask(parent)("/api/mine")).text(), "mine");
  const unknown = await get("/api/mine");
  assertEquals([unknown.status, unknown.headers.get("content-type")], [404, "application/problem+json"]);
});

Deno.test("browsers: any origin may read, and sees the headers that it needs", async () => {
  const preflight = await get(`/${REPO}/resolve/main/config.json`, {
    method: "OPTIONS",
    headers: { "origin": "https://page.example", "access-control-request-method": "GET" },
  });
  assertEquals([preflight.status, preflight.headers.get("access-control-allow-origin")], [204, "*"]);
  const response = await get(`/api/models/${REPO}`, { headers: { origin: "https://page.example" } });
  const exposed = response.headers.get("access-control-expose-headers")!.split(",");
  for (const name of ["ETag", "Content-Range", "X-Repo-Commit", "X-Error-Code", "Content-Length"]) {
    assert(exposed.includes(name));
  }
});

Deno.test("the repository object has what clients read", async () => {
  const info = await json(`/api/models/${REPO}?expand[]=likes&expand=sha`);
  assertMatch(info._id, /^[0-9a-f]{24}$/);
  assertMatch(info.lastModified, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assertEquals([info.id, info.modelId, info.author, info.private, info.gated, info.disabled], [
    ...[REPO, REPO, "tiny", false, false, false],
  ]);
  assertEquals(info.sha, await commitOf("main"));
});

Deno.test("an adapter that is replaced gets another commit and other tags; the old commit is gone", async () => {
  const own = hubFolders();
  Deno.renameSync(`${own.adapters}/ether`, `${own.adapters}/poet`);
  const server = await openRepositories(own);
  const asked = ask(createApp({ repositories: server }));
  const state = async () => {
    const { sha } = await (await asked(`/api/models/${REPO}/revision/poet`)).json();
    return { sha, etag: (await asked(`/${REPO}/resolve/${sha}/${SHARDS[0]}`, { method: "HEAD" })).headers.get("etag") };
  };
  const before = await state();
  copyFolder(`${LLAMA}/etherplus`, `${own.adapters}/poet`);
  let after = await state();
  // The folder is looked at once in a second.
  while (after.sha === before.sha) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    after = await state();
  }
  assertNotEquals(after.etag, before.etag);
  const old = await asked(`/${REPO}/resolve/${before.sha}/${SHARDS[0]}`, { method: "HEAD" });
  // The name that another adapter had is not the commit's: only its content is.
  assertEquals([old.status, old.headers.get("x-error-code")], [404, "RevisionNotFound"]);
  await server.close();
});

/** Bytes of all tensors of a file. */
function tensorBytes(bytes: Uint8Array): number {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  return bytes.byteLength - 8 - length;
}

async function gitBlob(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return await hex("SHA-1", new Uint8Array([...new TextEncoder().encode(`blob ${bytes.byteLength}\0`), ...bytes]));
}

async function hex(algorithm: string, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest(algorithm, bytes)).toHex();
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);
}
