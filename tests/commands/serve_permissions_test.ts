/** The narrow permissions of docs/serving.md are enough, and are narrow. */
import { assert, assertEquals } from "@std/assert";
import { REPOSITORY } from "./command_line.ts";
import { makeFolder } from "./made_files.ts";
import { startEntry } from "./server_process.ts";
import { bytesOf, get, LLAMA, makeFolders, ready, resolve, SHARD } from "./served.ts";

/** The document's command, over these folders: its variables, and its flags but those of the port. */
function commandOf(models: string, adapters: string): { env: Record<string, string>; flags: string[] } {
  const text = Deno.readTextFileSync(`${REPOSITORY}docs/serving.md`);
  const block = [...text.matchAll(/```text\n([^`]*)```/g)].find(([, body]) => body!.includes("deno serve "))![1]!;
  const words = block.replaceAll("\\\n", " ").replaceAll("'", "").replaceAll("/srv/models", models)
    .replaceAll("/srv/adapters", adapters).trim().split(/\s+/);
  const at = words.indexOf("deno");
  const rest = words.slice(at).join(" ");
  const [, flags] = /^deno serve (.*) main\.ts$/.exec(rest.replace(" --host 127.0.0.1 --port 8000", ""))!;
  const env = Object.fromEntries(words.slice(0, at).map((word) => word.split("=") as [string, string]));
  return { env, flags: flags!.split(" ") };
}

Deno.test("permissions: the command of the document serves everything", async () => {
  const { models, adapters } = makeFolders();
  const { env, flags } = commandOf(models, adapters);
  assertEquals([Object.keys(env), flags.filter((flag) => flag === "-A" || flag === "--allow-all")], [
    ["ETHER_MODELS", "ETHER_ADAPTERS"],
    [],
  ]);
  assert(flags.includes(`--allow-read=${models},${adapters}`), flags.join(" "));
  await using server = await startEntry(flags, env);
  await ready(server);
  for (const path of ["/", "/docs", "/openapi.json", "/metrics", "/v1/models", "/v1/adapters/ether"]) {
    assertEquals((await get(server.url + path)).status, 200, path);
  }
  const { pinned } = await resolve(server, "ether+etherplus@0.5");
  assert((await bytesOf(server.url + pinned)).byteLength > 0);
  assertEquals(
    await bytesOf(`${server.url}/org/llama/resolve/main/${SHARD}`),
    await Deno.readFile(`${LLAMA}/base/${SHARD}`),
  );
  assertEquals(server.stderr().replace(/^.*listening on .*\n/i, ""), "");
});

Deno.test("permissions: with those to write that the document names, adapters are put; what is not named is not read", async () => {
  const { models, adapters } = makeFolders();
  const tokens = makeFolder({ "tokens.json": "[]" });
  const { env, flags } = commandOf(models, adapters);
  const body = new FormData();
  for (const file of ["adapter_config.json", "adapter_model.safetensors"]) {
    body.set(file, new Blob([Deno.readFileSync(`${LLAMA}/etherplus/${file}`)]), file);
  }
  const init = { method: "PUT", headers: { authorization: "Bearer hf_write" }, body };
  const writer = { ...env, ETHER_WRITE_TOKEN: "hf_write" };
  {
    await using server = await startEntry([...flags, `--allow-write=${adapters}`], writer);
    await ready(server);
    assertEquals((await get(`${server.url}/v1/adapters/poet?base=org/llama`, init)).status, 201);
    assertEquals((await get(`${server.url}/org/llama/resolve/poet/${SHARD}`)).status, 200);
  }
  await using server = await startEntry(flags, { ...env, ETHER_TOKENS: `${tokens}/tokens.json` });
  assertEquals((await get(`${server.url}/healthz`)).status, 503);
});

Deno.test("permissions: models elsewhere need the network, and without it the server goes on", async () => {
  const { models, adapters } = makeFolders();
  await using origin = await startEntry(commandOf(models, adapters).flags, commandOf(models, adapters).env);
  await ready(origin);
  const far = makeFolder({ "org/llama.json": { source: "hf://org/llama" } }, "models");
  const { env, flags } = commandOf(far, adapters);
  // By name, which is looked up; the connection goes to the address.
  const node = { ...env, HF_ENDPOINT: origin.url.replace("127.0.0.1", "localhost") };
  await using server = await startEntry([...flags, "--allow-net"], node);
  await ready(server);
  assertEquals(
    await bytesOf(`${server.url}/org/llama/resolve/main/${SHARD}`),
    await Deno.readFile(`${LLAMA}/base/${SHARD}`),
  );
  // A name alone lets it look up the address, and not connect to it.
  await using shut = await startEntry([...flags, "--allow-net=localhost"], node);
  await ready(shut);
  assert((await get(`${shut.url}/org/llama/resolve/main/config.json`)).status >= 400);
  assertEquals((await get(`${shut.url}/healthz`)).status, 200);
});
