/** npm's @huggingface/hub, unmodified, against the server: what it lists and loads is the merged checkpoint. */
import {
  checkRepoAccess,
  countCommits,
  downloadFile,
  fileDownloadInfo,
  fileExists,
  HubApiError,
  listCommits,
  listFiles,
  modelInfo,
  parseSafetensorsMetadata,
  pathsInfo,
  repoExists,
  snapshotDownload,
  whoAmI,
} from "@huggingface/hub";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { startServer, untilReady } from "../routes/server_process.ts";
import { hubFolders, listFolder, mergedFolder, READ_TOKEN, REPO } from "./prepared.ts";

const SHARD = "model-00001-of-00003.safetensors";

const folders = hubFolders();
const server = await startServer(folders);
await untilReady(server);
const guarded = await startServer(folders, { ETHER_READ_TOKEN: READ_TOKEN });
await untilReady(guarded);
Deno.test.afterAll(async () => {
  await server.stop();
  await guarded.stop();
});

const hubUrl = server.url;
const at = (revision: string) => ({ repo: REPO, revision, hubUrl });

/** The sources of the base, and what the command line makes of it. */
const revisions: Record<string, string> = {
  "main": `${folders.models}/${REPO}`,
  "etherplus": await mergedFolder(folders, ["etherplus"]),
  "ether@0.5+etherplus-reference": await mergedFolder(folders, [
    "ether",
    "etherplus-reference",
  ], ["0.5", "1"]),
};

for (const [revision, folder] of Object.entries(revisions)) {
  Deno.test(`listFiles: ${revision} has the files of the folder`, async () => {
    const listed = await Array.fromAsync(
      listFiles({ ...at(revision), recursive: true, expand: true }),
    );
    const files = await listFolder(folder);
    assertEquals(
      listed.map(({ type, path, size }) => ({ type, path, size })),
      files.map(({ path, bytes }) => ({
        type: "file" as const,
        path,
        size: bytes.byteLength,
      })),
    );
    const { sha } = await modelInfo({
      name: REPO,
      revision,
      hubUrl,
      additionalFields: ["sha"],
    });
    assert(listed.every(({ lastCommit }) => lastCommit?.id === sha));
  });

  Deno.test(`downloadFile: ${revision}, whole and in slices`, async () => {
    for (const { path, bytes } of await listFolder(folder)) {
      const blob = await downloadFile({ ...at(revision), path });
      assert(blob !== null && blob.size === bytes.byteLength);
      await assertHolds(blob, bytes);
      const half = bytes.byteLength >> 1;
      await assertHolds(blob.slice(half), bytes.slice(half));
      await assertHolds(blob.slice(8, half), bytes.slice(8, half));
      await assertHolds(
        blob.slice(half, half + 1),
        bytes.slice(half, half + 1),
      );
    }
  });

  Deno.test(`snapshotDownload: ${revision} is the folder`, async () => {
    const cacheDir = await Deno.makeTempDir({ dir: folders.root });
    const snapshot = await snapshotDownload({ ...at(revision), cacheDir });
    const { sha } = await modelInfo({
      name: REPO,
      revision,
      hubUrl,
      additionalFields: ["sha"],
    });
    assertEquals(snapshot.split("/").slice(-3), [
      "models--tiny--llama",
      "snapshots",
      sha,
    ]);
    for (const { path, bytes } of await listFolder(folder)) {
      assert(
        sameBytes(await Deno.readFile(`${snapshot}/${path}`), bytes),
        path,
      );
    }
  });

  Deno.test(`parseSafetensorsMetadata: ${revision}`, async () => {
    const metadata = await parseSafetensorsMetadata({
      ...at(revision),
      computeParametersCount: true,
    });
    assert(metadata.sharded);
    assertEquals(Object.keys(metadata.headers).length, 3);
    assertEquals(
      metadata.headers[SHARD]?.["model.embed_tokens.weight"]?.dtype,
      "BF16",
    );
    const index = JSON.parse(
      await Deno.readTextFile(`${folder}/model.safetensors.index.json`),
    );
    assertEquals(metadata.parameterCount, {
      BF16: index.metadata.total_size / 2,
    });
  });
}

Deno.test("modelInfo: a commit stands for its recipe, and the literal HEAD for the base", async () => {
  const of = async (revision: string) =>
    await modelInfo({
      name: REPO,
      revision,
      hubUrl,
      additionalFields: ["sha"],
    });
  const { sha } = await of("etherplus");
  assertMatch(sha, /^[0-9a-f]{40}$/);
  assertEquals((await of(sha)).sha, sha);
  assertEquals((await of("HEAD")).sha, (await of("main")).sha);
  const info = await modelInfo({
    name: REPO,
    hubUrl,
    additionalFields: ["author", "library_name"],
  });
  assertEquals([info.name, info.private, info.gated, info.author], [
    REPO,
    false,
    false,
    "tiny",
  ]);
  assertEquals(info.library_name, "transformers");
});

Deno.test("fileExists and fileDownloadInfo", async () => {
  assertEquals(await fileExists({ ...at("etherplus"), path: SHARD }), true);
  assertEquals(
    await fileExists({ ...at("etherplus"), path: "adapter_config.json" }),
    false,
  );
  const info = await fileDownloadInfo({ ...at("etherplus"), path: SHARD });
  assertMatch(info!.etag, /^"eth1-[0-9a-f]{40}"$/);
  const folder = revisions.etherplus!;
  assertEquals(info!.size, (await Deno.stat(`${folder}/${SHARD}`)).size);
  assertMatch(info!.url, /\/resolve\/[0-9a-f]{40}\//);
  assertEquals(
    await fileDownloadInfo({ ...at("main"), path: "none.bin" }),
    null,
  );
  assertEquals(await downloadFile({ ...at("main"), path: "none.bin" }), null);
});

Deno.test("pathsInfo: unknown paths are left out", async () => {
  const infos = await pathsInfo({
    ...at("etherplus"),
    paths: ["config.json", "none", SHARD],
    expand: true,
  });
  assertEquals(infos.map(({ path, type }) => [path, type]), [[
    "config.json",
    "file",
  ], [SHARD, "file"]]);
  assertMatch(infos[1]!.lastCommit.id, /^[0-9a-f]{40}$/);
});

Deno.test("listCommits and countCommits", async () => {
  const commits = await Array.fromAsync(listCommits(at("ether")));
  assertEquals(commits.map(({ title }) => title), ["ether", "main"]);
  assertEquals(await countCommits(at("ether")), 2);
});

Deno.test("repoExists and checkRepoAccess", async () => {
  assertEquals(await repoExists({ repo: REPO, hubUrl }), true);
  assertEquals(await repoExists({ repo: "tiny/other", hubUrl }), false);
  await checkRepoAccess({ repo: REPO, hubUrl });
  const error = await assertRejects(
    () => checkRepoAccess({ repo: "tiny/other", hubUrl }),
    HubApiError,
  );
  assertEquals(error.statusCode, 404);
});

Deno.test("a revision that cannot be is an error, not a missing file", async () => {
  for (const revision of ["nobody", "ether@9x", "0".repeat(40)]) {
    const error = await assertRejects(
      () => downloadFile({ ...at(revision), path: SHARD }),
      HubApiError,
    );
    assertEquals([revision, error.statusCode], [revision, 404]);
  }
});

Deno.test("a server with a read token: without it nothing is found, with it everything", async () => {
  const place = { repo: REPO, hubUrl: guarded.url };
  const error = await assertRejects(() => checkRepoAccess(place), HubApiError);
  assertEquals(error.statusCode, 401);
  const accessToken = READ_TOKEN;
  await checkRepoAccess({ ...place, accessToken });
  const blob = await downloadFile({
    ...place,
    revision: "ether",
    path: "config.json",
    accessToken,
  });
  await assertHolds(
    blob!,
    await Deno.readFile(`${folders.models}/${REPO}/config.json`),
  );
  const me = await whoAmI({ accessToken, hubUrl: guarded.url });
  assertEquals([me.type, me.auth.type], ["user", "access_token"]);
});

/** Reads a blob of the client, which fetches what it is asked for. */
async function assertHolds(blob: Blob, bytes: Uint8Array): Promise<void> {
  assert(sameBytes(new Uint8Array(await blob.arrayBuffer()), bytes));
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);
}
