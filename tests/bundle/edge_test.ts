/** `dist/edge.js` as it is deployed: one file in an empty folder, and no other. */
import { assert, assertEquals } from "../../testing/assert.ts";
import { stop } from "esbuild";
import { bundle, ROOT } from "../../tasks/bundle/build.ts";
import { licensesOf } from "../../tasks/bundle/licenses.ts";
import { prepareMerge, streamMerged } from "../../mod.ts";

const LLAMA = `${ROOT}/fixtures/llama`;

const folder = Deno.makeTempDirSync({ prefix: "ether-edge-bundle-" });
const metafile = await bundle("edge", folder);
await stop();
Deno.test.afterAll(() => Deno.removeSync(folder, { recursive: true }));

Deno.test("edge.js: started alone in an empty folder it serves merged files, the document and the pages", async () => {
  const data = `${folder}/data`;
  copyFolder(`${LLAMA}/base`, `${data}/models/tiny/llama`);
  copyFolder(`${LLAMA}/etherplus`, `${data}/adapters/plus`);
  const empty = `${folder}/empty`;
  Deno.mkdirSync(empty);
  Deno.copyFileSync(`${folder}/edge.js`, `${empty}/edge.js`);
  await using server = await startEntry(empty, {
    ETHER_MODELS: `${data}/models`,
    ETHER_ADAPTERS: `${data}/adapters`,
  });
  const ready = async () => {
    const response = await fetch(`${server.url}/readyz`);
    await response.body?.cancel();
    return response.ok;
  };
  while (!await ready()) await new Promise((resolve) => setTimeout(resolve, 20));

  const { plan } = await prepareMerge({ base: `${LLAMA}/base`, adapters: [{ path: `${LLAMA}/etherplus` }] });
  const { path } = plan.files[0]!;
  const range = { start: 5000, end: 205_000 };
  const response = await fetch(`${server.url}/tiny/llama/resolve/plus/${path}`, {
    headers: { range: `bytes=${range.start}-${range.end - 1}` },
  });
  assertEquals(response.status, 206);
  assertEquals(await response.bytes(), await new Response(streamMerged(plan, path, range)).bytes());

  const document = await (await fetch(`${server.url}/openapi.json`)).json();
  assert(Object.keys(document.paths).length > 10);
  for (const page of ["/", "/docs"]) {
    const answer = await fetch(server.url + page);
    assertEquals([answer.status, answer.headers.get("content-type")], [200, "text/html; charset=UTF-8"]);
    assert((await answer.text()).includes("ether-edge"));
  }
  const body = JSON.stringify({ base: "tiny/llama", adapters: [{ id: "plus", strength: "strong" }] });
  const headers = { "content-type": "application/json" };
  const refused = await fetch(`${server.url}/v1/merges`, { method: "POST", body, headers });
  assertEquals(refused.status, 422);
  assert((await refused.json()).detail.includes("expected number"), "messages of checks are in English");
});

Deno.test("edge.js: holds no generator of the document, no other language, and no path of this machine", async () => {
  const inputs = Object.keys(metafile.inputs);
  assertEquals(inputs.filter((path) => /zod\/v4\/locales\/(?!en\.|index\.)|re2js\/build|schema_markup/.test(path)), []);
  const { outputs } = metafile;
  const output = Object.entries(outputs).find(([path]) => path.endsWith("edge.js"))![1];
  const generators = Object.entries(output.inputs).filter(([path, { bytesInOutput }]) => {
    return bytesInOutput > 0 && /json-schema-processors|hub_operations|v1\/operations|join_modules/.test(path);
  });
  assertEquals(generators.map(([path]) => path), []);
  const text = await Deno.readTextFile(`${folder}/edge.js`);
  // Schemas of answers, some with unions, are in the document alone.
  assert(!text.includes("ZodMiniUnion"));
  assert(!text.includes(ROOT) && !text.includes(folder));
  assert(/\n\/\/# sourceMappingURL=edge\.js\.map\n$/.test(text));
  const map = JSON.parse(await Deno.readTextFile(`${folder}/edge.js.map`));
  assert(map.sources.some((source: string) => source.endsWith("/main.ts")));
});

Deno.test("edge.js: two builds are the same bytes", async () => {
  await bundle("edge", `${folder}/again`);
  await stop();
  assertEquals(await Deno.readTextFile(`${folder}/again/edge.js`), await Deno.readTextFile(`${folder}/edge.js`));
});

Deno.test("licensesOf: names every package in the bundle", async () => {
  const text = await licensesOf(metafile, ROOT);
  for (const name of ["fflate", "hono", "ipaddr.js", "zod"]) assert(text.includes(`${name} `), name);
});

interface Server extends AsyncDisposable {
  readonly url: string;
}

async function startEntry(cwd: string, env: Readonly<Record<string, string>>): Promise<Server> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["serve", "--host", "127.0.0.1", "--port", "0", "--allow-read", "--allow-env", "edge.js"],
    ...{ cwd, env: { NO_COLOR: "1", HF_ENDPOINT: "", HF_TOKEN: "", ...env } },
    ...{ stdin: "null", stdout: "null", stderr: "piped" },
  }).spawn();
  let said = "";
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const reading = (async () => {
    for await (const chunk of child.stderr) {
      said += new TextDecoder().decode(chunk);
      const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0];
      if (url !== undefined) resolve(url);
    }
    reject(new Error(`the server ended: ${said}`));
  })();
  return {
    url: await promise,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
      await reading;
    },
  };
}

function copyFolder(from: string, to: string): void {
  Deno.mkdirSync(to, { recursive: true });
  for (const { name } of Deno.readDirSync(from)) Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
}
