/** Two server processes over the same folders, with nothing else between them: one name is the same bytes on both. */
import { assert, assertEquals } from "@std/assert";
import { mergeFolders } from "../../fixtures/merge_fixture.ts";
import { startServer, untilReady } from "../server_process.ts";
import { hubFolders, REPO } from "./small_hub.ts";

const SHARDS = [1, 2, 3].map((number) => `model-0000${number}-of-00003.safetensors`);

Deno.test("two servers: a commit of one is answered by the other, and by one that starts later", async () => {
  const folders = hubFolders();
  const first = await startServer(folders);
  const second = await startServer(folders);
  await Promise.all([untilReady(first), untilReady(second)]);
  const recipe = "etherplus@0.5";
  const merged = await mergeFolders({
    ...{ base: `${folders.models}/${REPO}`, adapter: `${folders.adapters}/etherplus`, flags: ["--strength", "0.5"] },
  });

  const { sha, siblings } = await json(`${first.url}/api/models/${REPO}/revision/${recipe}`);
  const long = (await json(`${first.url}/api/models/${REPO}/revision/ether+etherplus+etherplus-reference`)).sha;
  assertEquals((await json(`${first.url}/api/models/${REPO}/revision/${long}`)).sha, long);
  const unknown = await fetch(`${second.url}/api/models/${REPO}/revision/${long}`);
  await unknown.body?.cancel();
  const told = ["x-error-code", "x-error-message"].map((name) => unknown.headers.get(name));
  assertEquals([unknown.status, ...told], [
    ...[404, "RevisionNotFound"],
    "not_found: a commit of three or more adapters is known only to the node that issued it; ask by recipe",
  ]);
  const chain = (await json(`${first.url}/api/models/${REPO}/revision/ether@-1+etherplus-reference@0.25`)).sha;
  const tags = await tagsOf(first.url, sha);
  assertEquals(await tagsOf(second.url, sha), tags);
  // One range from one, the next from the other: as behind a balancer.
  for (const shard of SHARDS) {
    const whole = await Deno.readFile(`${merged}/${shard}`);
    const half = whole.length >> 1;
    const head = await bytes(`${first.url}/${REPO}/resolve/${sha}/${shard}`, `bytes=0-${half - 1}`);
    const tail = await bytes(`${second.url}/${REPO}/resolve/${sha}/${shard}`, `bytes=${half}-`);
    assert(sameBytes(head, whole.slice(0, half)) && sameBytes(tail, whole.slice(half)), shard);
  }
  assertEquals([await first.stop(), await second.stop()], [0, 0]);

  const third = await startServer(folders);
  await untilReady(third);
  assertEquals(await tagsOf(third.url, sha), tags);
  assertEquals((await json(`${third.url}/api/models/${REPO}/revision/${sha}`)).siblings, siblings);
  assertEquals((await json(`${third.url}/api/models/${REPO}/revision/${chain}`)).sha, chain);
  await third.stop();
});

async function json(url: string) {
  const response = await fetch(url);
  assertEquals(response.status, 200, url);
  return await response.json();
}

async function bytes(url: string, range: string): Promise<Uint8Array> {
  const response = await fetch(url, { headers: { range } });
  assertEquals(response.status, 206);
  return await response.bytes();
}

async function tagsOf(url: string, commit: string): Promise<(string | null)[]> {
  const heads = SHARDS.map((shard) => fetch(`${url}/${REPO}/resolve/${commit}/${shard}`, { method: "HEAD" }));
  return (await Promise.all(heads)).map(({ headers }) => headers.get("etag"));
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);
}
