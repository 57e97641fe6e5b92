import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { assertDone, mergeArgs, run } from "./command_line.ts";
import { etherConfig, makeFolder, newPath, tensorFile } from "./made_files.ts";
import { startServer } from "./server_process.ts";
import { bytesOf, get, LLAMA, makeFolders, ready, resolve, SHARD } from "./served.ts";

const folders = makeFolders();

Deno.test("serve: says where it listens, logs requests as JSON, and ends with 0", async () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    await using server = await startServer(folders.args);
    assertMatch(server.stderr(), /^listening on http:\/\/127\.0\.0\.1:\d+\n$/);
    assertEquals((await get(`${server.url}/healthz`)).status, 200);
    server.kill(signal);
    assertEquals(await server.ended, 0);
    const lines = server.stdout().trim().split("\n").map((line) => JSON.parse(line));
    assertEquals(lines.map(({ route, status }) => [route, status]), [["/healthz", 200]]);
    await assertRejects(() => fetch(server.url));
  }
});

Deno.test("serve -q: no log, and still where it listens", async () => {
  await using server = await startServer([...folders.args, "-q"]);
  await get(`${server.url}/healthz`);
  server.kill("SIGTERM");
  assertEquals([await server.ended, server.stdout()], [0, ""]);
});

Deno.test("serve: a merged file is the command line's, byte for byte", async () => {
  const output = newPath("merged");
  assertDone(await run(mergeArgs(`${LLAMA}/base`, `${LLAMA}/etherplus`, output, "--strength", "0.5")));
  await using server = await startServer(folders.args);
  await ready(server);
  for (const file of [SHARD, "config.json", "model.safetensors.index.json"]) {
    const expected = await Deno.readFile(`${output}/${file}`);
    assertEquals(await bytesOf(`${server.url}/org/llama/resolve/etherplus@0.5/${file}`), expected, file);
  }
  assertEquals(
    await bytesOf(`${server.url}/org/llama/resolve/main/${SHARD}`),
    await Deno.readFile(`${LLAMA}/base/${SHARD}`),
  );
});

Deno.test("serve: nodes over the same folders agree, and answer each other's commits, also after a restart", async () => {
  const recipes = ["main", "ether", "etherplus@0.5", "ether@-0.25+etherplus"];
  const commits: string[] = [];
  const pinned: string[] = [];
  {
    await using one = await startServer(folders.args);
    await ready(one);
    for (const recipe of recipes) {
      const found = await resolve(one, recipe);
      commits.push(found.commit);
      pinned.push(found.pinned);
    }
    one.kill("SIGKILL");
    await one.ended;
  }
  assertEquals(new Set(commits).size, recipes.length);

  const two = makeFolders();
  await using other = await startServer(two.args);
  await ready(other);
  // Commits that this node never issued, of which it was never asked by recipe.
  const bodies: Uint8Array[] = [];
  for (const path of pinned) bodies.push(await bytesOf(other.url + path));
  for (const [i, recipe] of recipes.entries()) {
    assertEquals((await resolve(other, recipe)).commit, commits[i], recipe);
    assertEquals(await bytesOf(`${other.url}/org/llama/resolve/${recipe}/${SHARD}`), bodies[i], recipe);
  }
  assertNotEquals(bodies[1], bodies[0]);
});

Deno.test("serve: a node without the weights serves them from another node, with the same commits and bytes", async () => {
  await using origin = await startServer(folders.args);
  await ready(origin);
  const models = makeFolder({ "org/llama.json": { source: "hf://org/llama" } }, "models");
  const env = { HF_ENDPOINT: origin.url };
  await using node = await startServer(["--models", models, "--adapters", folders.adapters], { env });
  await ready(node);
  for (const recipe of ["main", "ether@0.5"]) {
    const { commit, pinned } = await resolve(node, recipe);
    assertEquals(commit, (await resolve(origin, recipe)).commit);
    assertEquals(await bytesOf(node.url + pinned), await bytesOf(origin.url + pinned));
  }
});

Deno.test("serve: a reference to a host that is not allowed is not followed", async () => {
  const asked: string[] = [];
  await using host = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    asked.push(request.url);
    return new Response(null, { status: 404 });
  });
  const source = `http://127.0.0.1:${host.addr.port}/model/`;
  const models = makeFolder({ "far.json": { source } }, "models");
  for (const allowed of ["a.example", "127.0.0.1"]) {
    await using node = await startServer(["--models", models, "--allow-hosts", allowed]);
    assert((await get(`${node.url}/far/resolve/main/config.json`)).status >= 400);
    assertMatch(node.stderr(), /^warning: far: host_refused: /m);
  }
  assertEquals(asked, []);
  await using node = await startServer(["--models", models, "--allow-hosts", `http://127.0.0.1:${host.addr.port}`]);
  assert((await get(`${node.url}/far/resolve/main/config.json`)).status >= 400);
  assert(asked.length > 0);
});

/** A model large enough that its stream waits for its reader. */
function makeLarge(): string[] {
  const tensor = { dtype: "F32", shape: [4096, 4096] } as const;
  const models = makeFolder({
    "big/model.safetensors": tensorFile({ "big.weight": { ...tensor, bytes: new Uint8Array(64 << 20) } }),
  }, "models");
  const vectors = tensorFile({ "base_model.model.big.ether_u_in": { dtype: "F32", shape: [2, 2048] } });
  const adapters = makeFolder({
    "a/adapter_config.json": etherConfig(),
    "a/adapter_model.safetensors": vectors,
  }, "adapters");
  return ["--models", models, "--adapters", adapters];
}

const large = makeLarge();

Deno.test("serve: told to stop, it takes no more connections and lets a stream end", async () => {
  await using server = await startServer(large);
  await ready(server);
  const response = await fetch(`${server.url}/big/resolve/a/model.safetensors`);
  const expected = Number(response.headers.get("content-length"));
  const reader = response.body!.getReader();
  let byteLength = (await reader.read()).value!.byteLength;
  server.kill("SIGTERM");
  let refused = false;
  while (!refused) {
    refused = await fetch(`${server.url}/healthz`).then((one) => one.body?.cancel(), () => true) === true;
  }
  for (let next = await reader.read(); !next.done; next = await reader.read()) byteLength += next.value.byteLength;
  assertEquals([byteLength, await server.ended], [expected, 0]);
  assert(byteLength > 64 << 20);
});

Deno.test("serve: a second signal cuts what still runs", async () => {
  await using server = await startServer(large);
  await ready(server);
  const response = await fetch(`${server.url}/big/resolve/a/model.safetensors`);
  const reader = response.body!.getReader();
  await reader.read();
  server.kill("SIGINT");
  while (await fetch(`${server.url}/healthz`).then((one) => one.body?.cancel().then(() => true), () => false));
  server.kill("SIGINT");
  assertEquals(await server.ended, 0);
  await assertRejects(async () => {
    for (let next = await reader.read(); !next.done;) next = await reader.read();
  });
});
