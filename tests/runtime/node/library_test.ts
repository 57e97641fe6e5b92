/** The Node storage, on Deno's node:fs: what it reads and writes is what the storage of Deno reads and writes. */
import { assertEquals, assertRejects } from "@std/assert";
import { mergeToFolder as mergeOnDeno } from "../../../runtime/deno/merge_folder.ts";
import { prepareMerge as prepareOnDeno } from "../../../runtime/deno/library.ts";
import { EtherError } from "../../../runtime/error.ts";
import { openPlace } from "../../../runtime/node/file_folder.ts";
import { openModel, prepareApply, prepareMerge, streamMerged } from "../../../runtime/node/library.ts";
import { mergeToFolder } from "../../../runtime/node/merge_folder.ts";
import { listFiles } from "../../commands/made_files.ts";

const REQUEST = {
  base: "fixtures/llama/base",
  adapters: [{ path: "fixtures/llama/etherplus", strength: 0.5 }, { path: "fixtures/llama/ether" }],
};

const parent = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "ether-edge-node-" }));
Deno.test.afterAll(() => Deno.removeSync(parent, { recursive: true }));

function newFolder(): string {
  return Deno.makeTempDirSync({ dir: parent });
}

Deno.test("runtime/node: a merged folder has the bytes that Deno's storage writes, manifest and all", async () => {
  const folder = newFolder();
  const { plan } = await prepareMerge(REQUEST);
  const report = await mergeToFolder(plan, `${folder}/deep/merged`, { verify: true });
  assertEquals(report.verified, true);
  await mergeOnDeno((await prepareOnDeno(REQUEST)).plan, `${folder}/expected`);
  const names = listFiles(`${folder}/expected`);
  assertEquals(listFiles(`${folder}/deep/merged`), names);
  assertEquals(names.length > 7, true);
  for (const name of names) {
    assertEquals(Deno.readFileSync(`${folder}/deep/merged/${name}`), Deno.readFileSync(`${folder}/expected/${name}`));
  }
  assertEquals([...Deno.readDirSync(`${folder}/deep`)].map(({ name }) => name), ["merged"]);
});

Deno.test("runtime/node: an output that is there, or lies in an input, is refused; an abort leaves nothing", async () => {
  const folder = newFolder();
  const { plan } = await prepareMerge(REQUEST);
  const code = async (output: string) =>
    ((await assertRejects(() => mergeToFolder(plan, output), EtherError)) as EtherError).code;
  assertEquals(await code(folder), "exists");
  assertEquals(await code("fixtures/llama/base/merged"), "usage");
  const signal = AbortSignal.abort(new Error("stop"));
  await assertRejects(() => mergeToFolder(plan, `${folder}/merged`, { signal }), Error, "stop");
  assertEquals([...Deno.readDirSync(folder)], []);
});

Deno.test("runtime/node: streams and activations are those of the same files", async () => {
  const { plan } = await prepareMerge(REQUEST);
  const { path, size } = plan.files[2]!;
  const part = await new Response(streamMerged(plan, path, { start: 7, end: size - 5 })).bytes();
  const whole = await new Response(streamMerged(plan, path)).bytes();
  assertEquals(part, whole.slice(7, size - 5));
  await using apply = await prepareApply(REQUEST);
  const y = await apply.linear("model.layers.0.self_attn.q_proj", new Float32Array(192).fill(0.25));
  assertEquals(y.every(Number.isFinite), true);
});

Deno.test("runtime/node: what is not there, and links that lead out, are not opened", async () => {
  assertEquals(((await assertRejects(() => openModel("nowhere"), EtherError)) as EtherError).code, "not_found");
  const folder = newFolder();
  Deno.mkdirSync(`${folder}/model/.hidden`, { recursive: true });
  Deno.writeTextFileSync(`${folder}/secret`, "secret");
  Deno.writeTextFileSync(`${folder}/model/.hidden/file`, "");
  Deno.writeTextFileSync(`${folder}/model/plain.txt`, "text");
  Deno.symlinkSync(`${folder}/secret`, `${folder}/model/link.txt`);
  Deno.symlinkSync(`${folder}/model/plain.txt`, `${folder}/model/inner.txt`);
  const list = async () => (await (await openPlace(`${folder}/model`)).folder.list()).map(({ path }) => path);
  assertEquals(await list(), ["inner.txt", "plain.txt"]);
  Deno.symlinkSync(`${folder}/secret`, `${folder}/model/config.json`);
  assertEquals(((await assertRejects(list, EtherError)) as EtherError).code, "not_found");
});

Deno.test("runtime/node: a file named alone is a model with the configs beside it", async () => {
  const { folder, file } = await openPlace("fixtures/golden/ether/ether-tied-head/base.safetensors");
  assertEquals(file, "base.safetensors");
  const names = (await folder.list()).map(({ path }) => path);
  assertEquals(names.includes("base.safetensors") && !names.includes("adapter.safetensors"), true);
});
