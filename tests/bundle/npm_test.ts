/**
 * The npm package as users get it: packed, installed into an empty folder, and used as its README and docs/embedding.md
 * say.
 */
import { assert, assertEquals } from "../../testing/assert.ts";
import * as esbuild from "esbuild";
import { prepareMerge, streamMerged } from "../../mod.ts";
import { sha256Hex } from "../../runtime/io/digest.ts";
import denoJson from "../../deno.json" with { type: "json" };
import { bundle, ROOT } from "../../tasks/bundle/build.ts";
import { buildPackage } from "../../tasks/bundle/npm/package.ts";
import { findChromium } from "../browser/chromium.ts";
import { askWorker, evaluateInPage } from "../runtimes/hosts.ts";
import { executableOf } from "../runtimes/packages.ts";

const README = await Deno.readTextFile(`${ROOT}/tasks/bundle/npm/README.md`);
const EMBEDDING = await Deno.readTextFile(`${ROOT}/docs/embedding.md`);

/** A base of one file, with an adapter for it. */
const SMALL = `${ROOT}/fixtures/golden/ether/ether-in-paper-bf16`;

const parent = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "ether-edge-npm-" }));
const project = `${parent}/project`;
Deno.test.afterAll(() => Deno.removeSync(parent, { recursive: true }));
const problem = await install();
if (problem !== null) console.log(`tests of the installed package are skipped: ${problem}`);

Deno.test("npm package: has what its manifest names, and nothing that runs when it is installed", async () => {
  const manifest = JSON.parse(await Deno.readTextFile(`${parent}/package/package.json`));
  assertEquals(manifest.scripts, undefined);
  assertEquals([manifest.name, manifest.version], [denoJson.name, denoJson.version]);
  for (const [name, target] of Object.entries<string | Record<string, string>>(manifest.exports)) {
    for (const path of typeof target === "string" ? [target] : Object.values(target)) {
      assert(Deno.statSync(`${parent}/package/${path}`).isFile, `${name}: ${path}`);
    }
  }
  for (const name of ["README.md", "LICENSE"]) assert(Deno.statSync(`${parent}/package/${name}`).isFile);
  const texts = await Array.fromAsync(textsBelow(`${parent}/package`));
  assertEquals(
    texts.filter(([path, text]) => text.includes(ROOT) || /\bDeno\./.test(code(path, text))).map(([path]) => path),
    [],
  );
});

const readme = blocks(README, /^```js\n([\s\S]*?)^```$/gm);
for (const [index, { text }] of readme.entries()) {
  installedTest(`README, example ${index + 1} on Node`, async () => {
    const printed = await runIn("node", `readme-${index}.mjs`, text);
    assert(/^\d+$/.test(printed), printed);
    if (index === 0) {
      assertEquals(printed, "4096");
      assertEquals(Deno.readTextFileSync(`${project}/path/to/merged/config.json`).length > 0, true);
    }
  });
}

const snippets = blocks(EMBEDDING, /^```js ignore (\w+)\n([\s\S]*?)^```$/gm);

Deno.test("embedding.md, README: examples are found for every host", () => {
  assertEquals(readme.length, 2);
  assertEquals(snippets.map(({ host }) => host), ["node", "bun", "node", "worker", "browser"]);
});

installedTest("embedding.md, a merge on Node", async () => {
  const printed = await runIn("node", "merge.mjs", snippets[0]!.text);
  assertEquals(printed, String(sizeOf(`${project}/path/to/merged`)));
});

const bun = await executableOf("bun");
installedTest("embedding.md, activations on Bun", async () => {
  assertEquals(await runIn(bun!, "apply.mjs", snippets[1]!.text), "192");
}, bun !== null);

installedTest("embedding.md, a server on Node", async () => {
  assertEquals(await runIn("node", "server.mjs", snippets[2]!.text), "206 1024");
});

const workerd = await executableOf("workerd");
installedTest("embedding.md, a worker that reads from an origin", async () => {
  Deno.writeTextFileSync(`${project}/worker.mjs`, snippets[3]!.text);
  await esbuild.build({
    ...{ absWorkingDir: project, entryPoints: ["worker.mjs"], outfile: `${project}/worker.js`, bundle: true },
    ...{ format: "esm", conditions: ["worker"], logLevel: "silent" },
    plugins: [{
      name: "kernel",
      setup: (build) =>
        build.onResolve({ filter: /\/kernel\.wasm$/ }, () => ({ path: "./kernel.wasm", external: true })),
    }],
  });
  await esbuild.stop();
  Deno.copyFileSync(`${project}/node_modules/@ether-edge/ether-edge/kernel.wasm`, `${project}/kernel.wasm`);
  await using origin = serveRanges();
  const modules = { "worker.js": "esModule", "kernel.wasm": "wasm" } as const;
  const { response } = await askWorker(workerd!, project, modules, { ORIGIN: origin.url });
  assertEquals(await sha256Hex(await response.bytes()), await smallMerge());
}, workerd !== null);

const chromium = await findChromium();
Deno.test({
  name: "embedding.md, a browser",
  ignore: chromium === null,
  fn: async () => {
    const folder = `${parent}/page`;
    for (const name of ["model", "adapter"]) layOutSmall(`${folder}/${name}`, name);
    await bundle("core", folder);
    await esbuild.stop();
    Deno.writeTextFileSync(`${folder}/page.js`, snippets[4]!.text);
    const digest = await evaluateInPage(
      chromium!,
      folder,
      `import("/page.js").then(({ merged }) => merged.arrayBuffer())
        .then((bytes) => crypto.subtle.digest("SHA-256", bytes))
        .then((digest) => Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join(""))`,
    );
    assertEquals(digest, await smallMerge());
  },
});

installedTest("npm package: a type check of a program knows what every entry gives", async () => {
  const program = (type: string) => `
    import { EtherError, MemoryFiles, prepareMerge, readHeader } from "@ether-edge/ether-edge";
    import { mergeToFolder, prepareMerge as prepareFiles } from "@ether-edge/ether-edge/node";
    import { type AppType, createApp, Repositories } from "@ether-edge/ether-edge/server";
    const files = new MemoryFiles();
    const { plan } = await prepareMerge({ base: files.place("b"), adapters: [{ place: files.place("a") }] }, files);
    export const size: ${type} = plan.files[0]!.size;
    export const report = await mergeToFolder((await prepareFiles({ base: "b", adapters: [{ path: "a" }] })).plan, "o");
    export const app: AppType = createApp({ repositories: undefined as unknown as Repositories });
    export const code: string = new EtherError("usage", "").code;
    void readHeader;`;
  assertEquals(await typeErrors(program("number")), "");
  assert((await typeErrors(program("string"))).includes("TS2322"));
});

/** Builds, packs and installs; why that cannot be done, or null. */
async function install(): Promise<string | null> {
  await buildPackage(`${parent}/package`);
  await esbuild.stop();
  Deno.mkdirSync(project);
  const flags = ["--ignore-scripts", "--no-audit", "--no-fund"];
  const packed = await output("npm", ["pack", "--pack-destination", parent, `${parent}/package`], parent);
  assert(packed.success, packed.said);
  const archive = packed.printed.split("\n").at(-1)!;
  const installed = await output("npm", ["install", ...flags, `${parent}/${archive}`], project);
  if (!installed.success) return installed.said;
  copyFolder(`${ROOT}/fixtures/llama/base`, `${project}/path/to/model`);
  copyFolder(`${ROOT}/fixtures/llama/etherplus`, `${project}/path/to/adapter`);
  return null;
}

function installedTest(name: string, fn: () => Promise<void>, isThere = true): void {
  Deno.test({ name: name.startsWith("npm") ? name : `npm package: ${name}`, ignore: problem !== null || !isThere, fn });
}

/** Runs an example in the project; what it printed. */
async function runIn(executable: string, name: string, text: string): Promise<string> {
  await Deno.remove(`${project}/path/to/merged`, { recursive: true }).catch(() => {});
  Deno.writeTextFileSync(`${project}/${name}`, text);
  const { success, printed, said } = await output(executable, [name], project);
  assert(success, said);
  return printed;
}

async function typeErrors(program: string): Promise<string> {
  Deno.writeTextFileSync(`${project}/program.mts`, program);
  const { printed } = await output(Deno.execPath(), [
    ...["run", "--allow-all", "--config", `${ROOT}/tasks/bundle/deno.json`, "npm:typescript@6.0.3/tsc"],
    ...["--noEmit", "--strict", "--target", "esnext", "--module", "nodenext", "--skipLibCheck"],
    ...["--lib", "esnext,dom,dom.iterable,dom.asynciterable", `${project}/program.mts`],
  ], project);
  return printed;
}

async function output(executable: string, args: readonly string[], cwd: string) {
  const { success, stdout, stderr } = await new Deno.Command(executable, {
    ...{ args: [...args], cwd, stdin: "null", env: { NO_COLOR: "1" } },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  return { success, printed: text(stdout), said: text(stdout) + text(stderr) };
}

interface Block {
  /** The second word after `js`. */
  readonly host: string;
  readonly text: string;
}

function blocks(document: string, pattern: RegExp): Block[] {
  return [...document.matchAll(pattern)].map((match) => ({ host: match[1]!, text: match.at(-1)! }));
}

/** SHA-256 of the small model with its adapter, as the sources make it. */
async function smallMerge(): Promise<string> {
  const { plan } = await prepareMerge({
    base: `${SMALL}/base.safetensors`,
    adapters: [{ path: `${SMALL}/adapter.safetensors` }],
  });
  return await sha256Hex(await new Response(streamMerged(plan, "base.safetensors")).bytes());
}

/** The names that a model and an adapter have in a folder of their own. */
const NAMES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  model: { "model.safetensors": "base.safetensors", "config.json": "config.json" },
  adapter: { "adapter_model.safetensors": "adapter.safetensors", "adapter_config.json": "adapter_config.json" },
};

function smallFile(kind: string, name: string): Uint8Array<ArrayBuffer> | null {
  if (name === "config.json") return new TextEncoder().encode("{}");
  const own = NAMES[kind]?.[name];
  return own === undefined ? null : Deno.readFileSync(`${SMALL}/${own}`);
}

function layOutSmall(folder: string, kind: string): void {
  Deno.mkdirSync(folder, { recursive: true });
  for (const name of Object.keys(NAMES[kind]!)) Deno.writeFileSync(`${folder}/${name}`, smallFile(kind, name)!);
}

/** An origin that answers HEAD and ranges. */
function serveRanges(): AsyncDisposable & { readonly url: string } {
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const [, kind, name] = new URL(request.url).pathname.split("/");
    const file = smallFile(kind!, name!);
    if (file === null) return new Response(null, { status: 404 });
    if (request.method === "HEAD") {
      return new Response(null, { headers: { "content-length": String(file.byteLength) } });
    }
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get("range") ?? "");
    if (range === null) return new Response(file);
    return new Response(file.slice(Number(range[1]), Number(range[2]) + 1), { status: 206 });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** The part of a text that is code, where it is JavaScript. */
function code(path: string, text: string): string {
  return path.endsWith(".js") ? text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, "") : "";
}

async function* textsBelow(folder: string): AsyncGenerator<readonly [path: string, text: string]> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* textsBelow(`${folder}/${name}`);
    else if (!name.endsWith(".wasm")) yield [`${folder}/${name}`, await Deno.readTextFile(`${folder}/${name}`)];
  }
}

function sizeOf(folder: string): number {
  return [...Deno.readDirSync(folder)].reduce((sum, { name }) => sum + Deno.statSync(`${folder}/${name}`).size, 0);
}

function copyFolder(from: string, to: string): void {
  Deno.mkdirSync(to, { recursive: true });
  for (const { name } of Deno.readDirSync(from)) {
    if (!name.endsWith(".sha256")) Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  }
}
