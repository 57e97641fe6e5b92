import { assert, assertEquals } from "@std/assert";
import { listFiles } from "./made_files.ts";
import { type ServerProcess, startServer } from "./server_process.ts";
import { get, LLAMA, makeFolders, ready, resolve } from "./served.ts";

/** A `PUT` of the shipped adapter. */
async function put({ url }: ServerProcess, id: string, token?: string) {
  const body = new FormData();
  for (const file of ["adapter_config.json", "adapter_model.safetensors"]) {
    body.set(file, new Blob([Deno.readFileSync(`${LLAMA}/etherplus/${file}`)]), file);
  }
  const headers = { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
  return await get(`${url}/v1/adapters/${id}?base=org/llama`, { method: "PUT", headers, body });
}

Deno.test("serve: without the right to write nothing is written, and a PUT is refused", async () => {
  const own = makeFolders();
  const before = [listFiles(own.models), listFiles(own.adapters)];
  await using server = await startServer(own.args, { env: { ETHER_WRITE_TOKEN: "hf_write" } });
  await ready(server);
  const { status, text } = await put(server, "poet", "hf_write");
  assert(status >= 400 && status < 500, `${status} ${text}`);
  assertEquals([listFiles(own.models), listFiles(own.adapters)], before);
});

Deno.test("serve:write: stores an adapter that outlives the process, and keeps digests beside the weights", async () => {
  const own = makeFolders();
  const options = { task: "serve:write", env: { ETHER_WRITE_TOKEN: "hf_write" } } as const;
  let commit: string;
  {
    await using server = await startServer(own.args, options);
    await ready(server);
    assertEquals((await put(server, "poet")).status, 401);
    assertEquals((await put(server, "poet", "hf_write")).status, 201);
    assertEquals((await put(server, "poet", "hf_write")).status, 200);
    assertEquals((await put(server, "ether", "hf_write")).status, 409, "the operator's own");
    commit = (await resolve(server, "poet")).commit;
  }
  const sidecars = listFiles(own.models).filter((path) => path.endsWith(".sha256"));
  assertEquals(sidecars.length, 3);
  await using server = await startServer(own.args, options);
  await ready(server);
  assertEquals((await resolve(server, "poet")).commit, commit);
  const headers = { authorization: "Bearer hf_write" };
  assertEquals((await get(`${server.url}/v1/adapters/poet`, { method: "DELETE", headers })).status, 204);
  assertEquals((await get(`${server.url}/v1/adapters/poet`)).status, 404);
  assertEquals((await get(`${server.url}/v1/adapters/ether`, { method: "DELETE", headers })).status, 403);
  assertEquals(listFiles(`${own.adapters}/.store`), ["lock"]);
});

/** A host of static files with strong ETags, under `/poet/`. */
function staticHost(folder: string, onRequest: (request: Request) => void): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    onRequest(request);
    const name = new URL(request.url).pathname.replace(/^\/poet\//, "");
    if (!listFiles(folder).includes(name)) return new Response(null, { status: 404 });
    const bytes = Deno.readFileSync(`${folder}/${name}`);
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get("range") ?? "");
    const [start, end] = range === null
      ? [0, bytes.length]
      : [Number(range[1]), Math.min(Number(range[2]) + 1, bytes.length)];
    const headers = { etag: `"${name}"`, "content-range": `bytes ${start}-${end - 1}/${bytes.length}` };
    return new Response(bytes.slice(start, end), { status: range === null ? 200 : 206, headers });
  });
}

Deno.test("serve:write: an adapter is put by reference from an allowed host, without the server's own token", async () => {
  const own = makeFolders();
  const tokens: (string | null)[] = [];
  await using host = staticHost(`${LLAMA}/etherplus`, ({ headers }) => void tokens.push(headers.get("authorization")));
  const origin = `http://127.0.0.1:${host.addr.port}`;
  const env = { ETHER_WRITE_TOKEN: "hf_write", HF_TOKEN: "hf_hub", ETHER_ALLOW_HOSTS: origin };
  await using server = await startServer(own.args, { task: "serve:write", env });
  await ready(server);
  const putSource = (source: string) =>
    get(`${server.url}/v1/adapters/poet?base=org/llama`, {
      method: "PUT",
      headers: { authorization: "Bearer hf_write", "content-type": "application/json" },
      body: JSON.stringify({ source }),
    });
  const { status, text } = await putSource(`${origin}/poet/`);
  assertEquals(status, 201, text);
  const digests = JSON.parse((await get(`${server.url}/v1/adapters`)).text).data
    .filter(({ id }: { id: string }) => id !== "ether").map(({ digest }: { digest: string }) => digest);
  assertEquals(digests[0], digests[1]);
  assert(tokens.length > 0 && tokens.every((token) => token === null));
  for (const source of [`${origin}/none/`, "https://other.example/poet/", "/etc", "file:///etc"]) {
    const refused = await putSource(source);
    assert(refused.status >= 400 && refused.status < 500, `${source}: ${refused.status} ${refused.text}`);
  }
});
