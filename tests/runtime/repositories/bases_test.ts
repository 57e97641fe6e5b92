/** How a base's files get their names, and what happens until they have them. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { EtherError } from "../../../runtime/error.ts";
import { sha256Hex } from "../../../runtime/io/digest.ts";
import { gitBlobId } from "../../../runtime/repositories/file_identity.ts";
import { Repositories, type RepositoriesOptions } from "../../../runtime/repositories/repositories.ts";
import { adapterFiles, baseFiles } from "./made_adapter.ts";
import { MemoryAdapters, MemoryModels } from "./memory_stores.ts";

const SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;
const bytesOf = (text: string) => new TextEncoder().encode(text);

function makeModels(more: Parameters<typeof baseFiles>[0] = {}): MemoryModels {
  const models = new MemoryModels();
  models.models.set("base", baseFiles(more));
  return models;
}

function open(models: MemoryModels, options: Partial<RepositoriesOptions> = {}): Repositories {
  const adapters = new MemoryAdapters();
  adapters.set("a", adapterFiles());
  return new Repositories({ models, adapters, storage: models.storage, ...options });
}

/** How often a file's weights were read: all of it, or only its header. */
const readLength = (models: MemoryModels, path: string) => models.reads.get(`base\n${path}`)!.byteLength;

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return (await assertRejects(() => promise, EtherError)).code;
}

Deno.test("gitBlobId is git's", async () => {
  assertEquals(await gitBlobId(new Uint8Array(0)), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  assertEquals(await gitBlobId(bytesOf("hello\n")), "ce013625030ba8dba906f756967f9e9ca394464a");
});

Deno.test("a base's files: SHA-256 as ETag, git's ids, LFS where a Hub would have it", async () => {
  const models = makeModels({ "README.md": bytesOf("# base") });
  const repositories = open(models);
  await repositories.start();
  const base = (await repositories.base("base"))!;
  for (const { path, etag, oid, sha256, size } of base.files) {
    const bytes = models.models.get("base")!.get(path)!;
    const digest = await sha256Hex(bytes);
    assertEquals([etag, size], [digest, bytes.byteLength], path);
    const isShard = (SHARDS as readonly string[]).includes(path);
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${digest}\nsize ${size}\n`;
    const inGit = isShard ? bytesOf(pointer) : bytes;
    const blob = createHash("sha1").update(`blob ${inGit.byteLength}\0`).update(inGit).digest("hex");
    assertEquals([oid, sha256], [blob, isShard ? digest : null], path);
  }
  assertEquals(base.lastModified, new Date(1000));
});

Deno.test("until a digest is computed the base is busy; it is computed once, kept, and said", async () => {
  const models = makeModels();
  const repositories = open(models);
  assertEquals(repositories.state, { ready: false, models: 0, identified: 0, failed: [] });
  const gate = Promise.withResolvers<void>();
  models.beforeRead = (locator, isWhole) => isWhole && locator.endsWith(SHARDS[1]) ? gate.promise : undefined;
  const started = repositories.start();
  for (let i = 0; i < 3; i++) assertEquals(await codeOf(repositories.base("base")), "busy");
  assertEquals(await repositories.models(), [{ id: "base", commit: null }]);
  assertEquals(repositories.state.ready, false);
  gate.resolve();
  await started;
  assertEquals(repositories.state, { ready: true, models: 1, identified: 1, failed: [] });
  const { commit } = (await repositories.base("base"))!;
  assertEquals(await repositories.models(), [{ id: "base", commit }]);
  assertEquals([...models.kept.keys()].sort(), SHARDS.map((path) => `base\n${path}`));
  const before = readLength(models, SHARDS[0]);
  await repositories.start();
  assertEquals(readLength(models, SHARDS[0]), before);
  for (const [locator, sha256] of models.kept) {
    assertEquals(sha256, await sha256Hex(models.models.get("base")!.get(locator.slice(5))!));
  }
});

Deno.test("a base that comes later is identified when it is first asked for, without a start", async () => {
  const models = makeModels();
  const repositories = open(models);
  assertEquals(await codeOf(repositories.base("base")), "busy");
  while (await repositories.base("base").catch(() => null) === null) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assertEquals((await repositories.base("base"))!.id, "base");
});

Deno.test("a digest that the storage or a manifest knows is taken, and no weight is read", async () => {
  const plain = makeModels();
  const first = open(plain);
  await first.start();
  const expected = (await first.base("base"))!;
  const digests = SHARDS.map((path) => expected.file(path)!.etag);

  const bySidecar = makeModels();
  SHARDS.forEach((path, i) => bySidecar.sidecars.set(`base\n${path}`, digests[i]!));
  const outputs = SHARDS.map((path, i) => {
    const { size } = expected.file(path)!;
    return { path, size, digest: `sha256-tree1m:${"0".repeat(64)}`, sha256: digests[i] };
  });
  const byManifest = makeModels({ "ether-merge.json": bytesOf(JSON.stringify({ version: 1, outputs })) });
  for (const models of [bySidecar, byManifest]) {
    const base = (await open(models).base("base"))!;
    assertEquals([base.commit, base.files], [expected.commit, expected.files]);
    for (const path of SHARDS) assert(readLength(models, path) < 900, `${path} was read`);
  }
});

Deno.test("a manifest that is of another file, or broken, is no help and no harm", async () => {
  const wrongSize = SHARDS.map((path) => ({ path, size: 1, digest: `sha256:${"0".repeat(64)}` }));
  for (const text of [JSON.stringify({ version: 1, outputs: wrongSize }), "{", JSON.stringify({ version: 99 })]) {
    const models = makeModels({ "ether-merge.json": bytesOf(text) });
    const repositories = open(models);
    assertEquals(await codeOf(repositories.base("base")), "busy");
    await repositories.start();
    const base = (await repositories.base("base"))!;
    assertEquals(base.file(SHARDS[0])!.etag, await sha256Hex(models.models.get("base")!.get(SHARDS[0])!));
  }
});

Deno.test("an origin's word is enough: no LFS, a name that is no digest, and nothing computed", async () => {
  const models = makeModels();
  models.local = false;
  models.identify = (path) => sha256Hex(bytesOf(path));
  const base = (await open(models).base("base"))!;
  for (const path of SHARDS) {
    const { etag, oid, sha256 } = base.file(path)!;
    assertMatch(etag, /^eth1-[0-9a-f]{40}$/);
    assertEquals([oid, sha256], [etag.slice(5), null]);
    assert(readLength(models, path) < 900);
  }
  assertMatch(base.file("config.json")!.etag, /^[0-9a-f]{64}$/);
  models.identify = () => Promise.reject(new EtherError("unsupported", "no strong ETag"));
  models.touch("base");
  assertEquals(await codeOf(open(models).base("base")), "unsupported");
});

Deno.test("a model that cannot be served is said, and the others are", async () => {
  const models = makeModels();
  models.models.set("bad", new Map([["model.safetensors", bytesOf("cut short")]]));
  models.models.set("org/empty", new Map([["README.md", bytesOf("x")]]));
  const repositories = open(models);
  await repositories.start();
  const { failed, ...state } = repositories.state;
  assertEquals(state, { ready: true, models: 3, identified: 1 });
  assertEquals(failed.map(({ id, error }) => [id, error.code]), [["bad", "bad_header"], [
    "org/empty",
    "unsupported_format",
  ]]);
  assertEquals((await repositories.models()).map(({ id, commit }) => [id, commit !== null]), [
    ...[["bad", false], ["base", true], ["org/empty", false]],
  ]);
  assertEquals(await codeOf(repositories.base("bad")), "bad_header");
});

Deno.test("an error that may pass is not remembered", async () => {
  const models = makeModels();
  SHARDS.forEach((path) => models.sidecars.set(`base\n${path}`, "0".repeat(64)));
  const repositories = open(models);
  models.beforeRead = () => {
    throw new EtherError("io_error", "a bad moment");
  };
  assertEquals(await codeOf(repositories.base("base")), "io_error");
  models.beforeRead = undefined;
  assertEquals((await repositories.base("base"))!.id, "base");
});

Deno.test("start can be stopped, and goes on from where it was", async () => {
  const models = makeModels();
  const repositories = open(models);
  const stop = new AbortController();
  models.beforeRead = (locator, isWhole) => {
    if (isWhole && locator.endsWith(SHARDS[1])) stop.abort(new Error("stopped"));
  };
  await assertRejects(() => repositories.start(stop.signal), Error, "stopped");
  assertEquals(repositories.state.ready, false);
  const before = readLength(models, SHARDS[0]);
  await repositories.start();
  assertEquals([repositories.state.ready, repositories.state.identified], [true, 1]);
  assertEquals(readLength(models, SHARDS[0]), before, "the first shard was digested again");
  assertEquals(models.openCount, 0);
});

Deno.test("a base that changes is another repository; what changes beside it in no file is not", async () => {
  const models = makeModels();
  const repositories = open(models);
  await repositories.start();
  const before = (await repositories.base("base"))!;
  const merged = (await repositories.revision(before, "a"))!;
  models.touch("base");
  await repositories.start();
  assertEquals((await repositories.base("base"))!.commit, before.commit);
  models.models.get("base")!.set("config.json", bytesOf(`{"model_type": "llama", "x": 1}`));
  models.touch("base");
  await repositories.start();
  const after = (await repositories.base("base"))!;
  assertNotEquals(after.commit, before.commit);
  assertEquals(await repositories.revision(after, before.commit), null);
  assertEquals(await repositories.revision(after, merged.commit), null);
  models.models.delete("base");
  assertEquals(await repositories.base("base"), null);
});

Deno.test("a file that changes while its digest is computed is not given that name", async () => {
  const models = makeModels();
  const repositories = open(models);
  let changes = 0;
  models.beforeRead = (locator, isWhole) => {
    if (isWhole && locator.endsWith(SHARDS[0]) && changes++ === 0) models.touch("base");
  };
  await repositories.start();
  assertEquals(repositories.state.failed.map(({ error }) => error.code), ["io_error"]);
  await repositories.start();
  assertEquals(repositories.state.failed, []);
});

Deno.test("a folder of too many files is too_large", async () => {
  const models = makeModels();
  assertEquals(await codeOf(open(models, { limits: { files: 3 } }).base("base")), "too_large");
});

Deno.test("a file that is too large to be small is named like a weight", async () => {
  const models = makeModels({ "notes.bin.txt": new Uint8Array(5000) });
  const repositories = open(models, { limits: { smallFileBytes: 4000 } });
  await repositories.start();
  const file = (await repositories.base("base"))!.file("notes.bin.txt")!;
  assertEquals(file.sha256, await sha256Hex(new Uint8Array(5000)));
});
