/** `serve --backend`: who computes `linear` of `/v1/apply`, and how the operator gets to know why. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { encodeHeader } from "../../runtime/safetensors/write.ts";
import { gpuTest } from "../runtime/webgpu/adapter.ts";
import { type ServerProcess, startEntry, startServer } from "./server_process.ts";
import { get, makeFolders, NO_ADAPTER, ready } from "./served.ts";

const folders = makeFolders();
const MODULE = "model.layers.0.self_attn.q_proj";
const DIMENSION = 192;

/** The answer to a request of two tokens: f32 `[2, 192]`. */
async function apply({ url }: ServerProcess, op: "linear" | "in"): Promise<Float32Array> {
  const x = Float32Array.from({ length: 2 * DIMENSION }, (_, i) => (i * 37 % 29 - 14) / 16);
  const header = encodeHeader(
    [{ name: MODULE, shape: [2, DIMENSION], dtype: "F32", byteLength: x.byteLength }],
    null,
  );
  const response = await fetch(`${url}/v1/apply?base=org/llama&adapters=ether&op=${op}`, {
    ...{ method: "POST", headers: { "content-type": "application/octet-stream" } },
    body: new Blob([header, x]),
  });
  const bytes = await response.bytes();
  assertEquals(response.status, 200, new TextDecoder().decode(bytes));
  return new Float32Array(bytes.slice(header.byteLength).buffer);
}

/** What `/readyz` says. */
async function choice({ url }: ServerProcess): Promise<{ backend: string; reason: string }> {
  return JSON.parse((await get(`${url}/readyz`)).text).apply;
}

/** The lines of stderr about it. */
function said(server: ServerProcess): string[] {
  return server.stderr().split("\n").filter((line) => line.startsWith("linear is done by "));
}

Deno.test("serve --backend wasm -v: says so once, at once", async () => {
  await using server = await startServer([...folders.args, "--backend", "wasm", "-v"], { env: NO_ADAPTER });
  await ready(server);
  assertEquals(said(server), ["linear is done by wasm: it was asked for"]);
  assertEquals(await choice(server), { backend: "wasm", reason: "it was asked for" });
});

Deno.test("serve -v: looks for a GPU after the first linear, and says what came of it, once", async () => {
  await using server = await startServer([...folders.args, "-v"], { env: NO_ADAPTER });
  await using quiet = await startServer(folders.args, { env: { ...NO_ADAPTER, ETHER_BACKEND: "auto" } });
  for (const one of [server, quiet]) {
    await ready(one);
    await apply(one, "in");
    await new Promise((resolve) => setTimeout(resolve, 300));
    assertMatch((await choice(one)).reason, /^undecided/);
    await apply(one, "linear");
    while ((await choice(one)).reason.startsWith("undecided")) await new Promise((resolve) => setTimeout(resolve, 20));
    assertEquals(await choice(one), { backend: "wasm", reason: "WebGPU finds no adapter" });
    await apply(one, "linear");
  }
  assertEquals([said(server), said(quiet)], [["linear is done by wasm: WebGPU finds no adapter"], []]);
});

gpuTest("serve --backend webgpu: linear is done by the GPU, and merged files are not", async () => {
  await using server = await startServer([...folders.args, "--backend", "webgpu", "-v"]);
  await using other = await startServer([...folders.args, "--backend", "wasm"]);
  for (const one of [server, other]) await ready(one);
  const { backend, reason } = await choice(server);
  assertEquals([backend, (await choice(other)).backend], ["webgpu", "wasm"]);
  assertStringIncludes(reason, "it was asked for");
  assertEquals(said(server), [`linear is done by webgpu: ${reason}`]);
  assertEquals(await apply(server, "in"), await apply(other, "in"));
  const [got, expected] = [await apply(server, "linear"), await apply(other, "linear")];
  const size = Math.max(...expected.map(Math.abs));
  assertEquals(expected.filter((value, i) => Math.abs(value - got[i]!) > 1e-4 * size).length, 0);
  const path = "/org/llama/resolve/ether/model-00002-of-00003.safetensors";
  const [file, same] = await Promise.all(
    [server, other].map(async ({ url }) => await (await fetch(url + path)).bytes()),
  );
  assertEquals(file, same);
  server.kill("SIGTERM");
  assertEquals(await server.ended, 0);
});

Deno.test("deno serve main.ts with ETHER_BACKEND=webgpu and no adapter: every request is a 503, the log says why", async () => {
  const env = { ETHER_MODELS: folders.models, ETHER_BACKEND: "webgpu", ...NO_ADAPTER };
  await using server = await startEntry(["--allow-read", "--allow-net", "--allow-env"], env);
  assertEquals((await get(`${server.url}/readyz`)).status, 503);
  assertMatch(JSON.parse(server.stdout().trim()).detail, /^unsupported: webgpu: WebGPU finds no adapter; /);
});
