import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import denoJson from "../../deno.json" with { type: "json" };
import { SERVER_VARIABLES } from "../../runtime/deno/server_options.ts";
import { assertRefused, run } from "./command_line.ts";
import { makeFolder } from "./made_files.ts";
import { ServerEnded, startEntry, startServer } from "./server_process.ts";
import { bytesOf, get, LLAMA, makeFolders, NO_ADAPTER, ready, resolve, SHARD } from "./served.ts";

const folders = makeFolders();

Deno.test("serve: the tasks may read each variable that the server asks for, and only one of them may write", () => {
  for (const [task, writes] of [["serve", false], ["serve:write", true]] as const) {
    const words = denoJson.tasks[task].command.split(" ");
    const env = words.find((word) => word.startsWith("--allow-env="))!.replace("--allow-env=", "").split(",");
    assertEquals(SERVER_VARIABLES.filter((name) => !env.includes(name)), []);
    assertEquals([words.includes("--allow-write"), words.includes("--allow-read")], [writes, true]);
  }
});

Deno.test("serve: a flag wins over its variable, and a variable is enough", async () => {
  const env = { ETHER_MODELS: folders.models, ETHER_ADAPTERS: "/does/not/exist" };
  await using server = await startServer(["--adapters", folders.adapters], { env });
  assertStringIncludes((await get(`${server.url}/v1/adapters`)).text, "etherplus");
});

Deno.test("serve: relative paths are the user's, as deno task says where they stand", async () => {
  const env = { INIT_CWD: folders.models };
  await using server = await startServer(["--models", "org", "--adapters", "../nowhere/.."], { env });
  await ready(server);
  assertEquals(JSON.parse((await get(`${server.url}/v1/models`)).text).data.map(({ id }: { id: string }) => id), [
    "llama",
  ]);
});

Deno.test("serve: a read token, and a file of tokens, close what they should", async () => {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode("hf_one"));
  const rule = { sha256: new Uint8Array(digest).toHex(), read: true, adapters: ["ether"] };
  const tokens = makeFolder({ "tokens.json": JSON.stringify([rule]) });
  const settings = [[[], { ETHER_READ_TOKEN: "hf_one" }], [["--tokens", `${tokens}/tokens.json`], {}]] as const;
  for (const [more, env] of settings) {
    await using server = await startServer([...folders.args, ...more], { env });
    const authorized = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
    assertEquals((await get(`${server.url}/v1/adapters`)).status, 401);
    assertEquals((await get(`${server.url}/v1/adapters`, authorized("hf_two"))).status, 401);
    const { status, text } = await get(`${server.url}/v1/adapters`, authorized("hf_one"));
    assertEquals([status, text.includes("etherplus")], [200, more.length === 0]);
    assertEquals((await get(`${server.url}/healthz`)).status, 200);
  }
});

Deno.test("serve: what is left out is one line on stderr, and no answer says where the folders are", async () => {
  const models = makeFolder({
    "broken/model.safetensors": "not a header",
    "notes/readme.md": "x",
    "far.json": { source: "hf://org/name" },
  }, "models");
  await using server = await startServer(["--models", models]);
  const answers: string[] = [];
  for (const path of ["/readyz", "/v1/models", "/broken/resolve/main/config.json", "/far/resolve/main/config.json"]) {
    const { headers, text } = await get(server.url + path);
    answers.push(text, ...headers.values());
  }
  assertEquals(answers.filter((text) => text.includes(models)), []);
  assertMatch(server.stderr(), new RegExp(`^warning: left out: ${models}/notes: it holds no safetensors model$`, "m"));
  assertMatch(server.stderr(), /^warning: far: unsupported: .*ETHER_ALLOW_HOSTS/m);
});

const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
Deno.test.afterAll(() => taken.close());

const REFUSED: readonly (readonly [
  name: string,
  code: number,
  line: string | RegExp,
  args: string[],
  env?: Record<string, string>,
])[] = [
  ["no models", 2, /^error: usage: --models: /, []],
  ["models that are not there", 1, "not_found", ["--models", "/does/not/exist"]],
  ["adapters that are not there", 1, "not_found", ["--models", folders.models, "--adapters", "/does/not/exist"]],
  ["a model's file", 1, "not_found", ["--models", `${LLAMA}/base/${SHARD}`]],
  ["models elsewhere", 2, /^error: usage: --models: /, ["--models", "hf://org/name"]],
  ["a port in use", 3, /^error: io_error: 127\.0\.0\.1:\d+: the port is in use; /, [
    ...folders.args,
    "--port",
    `${taken.addr.port}`,
  ]],
  ["a host that is not this machine's", 3, "io_error", [...folders.args, "--host", "192.0.2.1", "--port", "0"]],
  ["no port", 2, /^error: usage: --port: /, [...folders.args, "--port", "80000"]],
  ["no number", 2, /^error: usage: --port: /, [...folders.args, "--port", "x"]],
  ["no size", 2, /^error: usage: --max-bytes: /, [...folders.args, "--max-bytes", "lots"]],
  ["no size in the environment", 2, /^error: usage: ETHER_MAX_BYTES: /, folders.args, { ETHER_MAX_BYTES: "0" }],
  ["no number of threads", 2, /^error: usage: --workers: "-1" /, [...folders.args, "--workers=-1"]],
  ["too many threads", 2, /^error: usage: ETHER_WORKERS: "257" /, folders.args, { ETHER_WORKERS: "257" }],
  ["no backend", 2, /^error: usage: --backend: "cuda" is not one of /, [...folders.args, "--backend", "cuda"]],
  ["no backend by its variable", 2, /^error: usage: ETHER_BACKEND: /, folders.args, { ETHER_BACKEND: "WASM" }],
  ["webgpu without an adapter", 1, /^error: unsupported: webgpu: WebGPU finds no adapter; /, [
    ...folders.args,
    "--backend",
    "webgpu",
  ], NO_ADAPTER],
  ["no host", 2, /^error: usage: --allow-hosts: /, [...folders.args, "--allow-hosts", "a.example,/etc"]],
  ["no switch", 2, /^error: usage: ETHER_ALLOW_PTH: /, folders.args, { ETHER_ALLOW_PTH: "maybe" }],
  ["no URL", 2, /^error: usage: --public-url: /, [...folders.args, "--public-url", "ftp://x"]],
  ["no Hub", 2, /^error: usage: HF_ENDPOINT: /, folders.args, { HF_ENDPOINT: "not a url" }],
  ["a token with a blank", 2, /^error: usage: ETHER_READ_TOKEN: /, folders.args, { ETHER_READ_TOKEN: "hf_secret " }],
  ["one token for both", 2, /^error: usage: .*[Ww]rite/, folders.args, {
    ETHER_READ_TOKEN: "hf_s",
    ETHER_WRITE_TOKEN: "hf_s",
  }],
  ["no file of tokens", 1, "not_found", [...folders.args, "--tokens", "/does/not/exist"]],
  ["a file that is no list of tokens", 1, "bad_config", [...folders.args, "--tokens", `${LLAMA}/base/config.json`]],
];

for (const [name, code, line, args, env = {}] of REFUSED) {
  Deno.test(`serve: ${name} is refused in one line, exit ${code}`, async () => {
    const outcome = await run(["serve", ...args], { env });
    assertRefused(outcome, code, line);
    assertEquals(outcome.stderr.includes("hf_s"), false, "a token is never shown");
  });
}

Deno.test("serve: what ends before it listens is told with its code", async () => {
  const error = await assertRejects(() => startServer(["--models", "/does/not/exist"]), ServerEnded);
  assertEquals(error.code, 1);
});

const ALLOWED = ["--allow-read", "--allow-net", "--allow-env"];

Deno.test("deno serve main.ts: serves what the variables say, without the right to write", async () => {
  const env = { ETHER_MODELS: folders.models, ETHER_ADAPTERS: folders.adapters };
  await using server = await startEntry(ALLOWED, env);
  await ready(server);
  await using other = await startServer(folders.args);
  await ready(other);
  const { commit, pinned } = await resolve(server, "ether@0.5");
  assertEquals((await resolve(other, "ether@0.5")).commit, commit);
  assertEquals(await bytesOf(server.url + pinned), await bytesOf(other.url + pinned));
  server.kill("SIGTERM");
  assertEquals(await server.ended, 0);
});

const NOT_SET_UP: readonly (readonly [name: string, flags: string[], env: Record<string, string>, detail: RegExp])[] = [
  ["no models", ALLOWED, {}, /^usage: .*ETHER_MODELS/],
  ["models that are not there", ALLOWED, { ETHER_MODELS: "/does/not/exist" }, /^not_found: /],
  ["no right to read a variable", ["--allow-read", "--allow-net"], { ETHER_MODELS: folders.models }, /--allow-env=/],
  [
    "a token that it may not read",
    ["--allow-read", "--allow-net", "--allow-env=ETHER_MODELS,ETHER_ADAPTERS"],
    { ETHER_MODELS: folders.models, ETHER_READ_TOKEN: "hf_one" },
    /^usage: ETHER_\w+: the variable may not be read; --allow-env=/,
  ],
];

for (const [name, flags, env, detail] of NOT_SET_UP) {
  Deno.test(`deno serve main.ts: with ${name} every request is a 503 and the log says why, once`, async () => {
    await using server = await startEntry(flags, env);
    for (const path of ["/healthz", "/org/llama/resolve/main/config.json"]) {
      const { status, headers, text } = await get(server.url + path);
      assertEquals([status, headers.get("content-type")], [503, "application/problem+json"]);
      assertEquals(text.includes("/does/not/exist"), false);
    }
    const lines = server.stdout().trim().split("\n").map((line) => JSON.parse(line));
    assertEquals(lines.length, 1, server.stdout());
    assertMatch(lines[0].detail, detail);
  });
}
