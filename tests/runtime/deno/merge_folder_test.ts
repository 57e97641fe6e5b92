import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { EtherError, fileStorage, mergeTo, mergeToFolder, prepareMerge } from "../../../mod.ts";
import type { Progress } from "../../../runtime/execute/progress.ts";
import { usefulWorkers } from "../../../runtime/deno/merge_folder.ts";
import { addFiles, listFiles, makeAdapter, makeBase, makeFolder } from "../../commands/made_files.ts";

const LLAMA = new URL("../../../fixtures/llama/", import.meta.url).pathname;

async function prepare() {
  return await prepareMerge({ base: `${LLAMA}base`, adapters: [{ path: `${LLAMA}ether` }] });
}

Deno.test("mergeToFolder: an onProgress that throws ends the merge, and leaves nothing, for any number of workers", async () => {
  const { plan } = await prepare();
  for (const workers of [1, 2, 3]) {
    const folder = await Deno.makeTempDir();
    const onProgress = () => {
      throw new Error("listener");
    };
    await assertRejects(() => mergeToFolder(plan, `${folder}/out`, { workers, onProgress }), Error, "listener");
    assertEquals([...Deno.readDirSync(folder)], []);
    await Deno.remove(folder);
  }
});

Deno.test("mergeToFolder with verify: a file that changes before it is read again is verify_failed, and nothing is left", async () => {
  const { plan } = await prepare();
  const folder = await Deno.makeTempDir();
  const { path, size } = plan.files[0]!;
  for (const verify of [true, false]) {
    let changed = false;
    const onProgress = ({ phase, doneBytes, totalBytes }: Progress) => {
      if (phase !== "merge" || doneBytes < totalBytes || changed) return;
      using file = Deno.openSync(`${folder}/out.partial/${path}`, { read: true, write: true });
      const last = new Uint8Array(1);
      file.seekSync(size - 1, Deno.SeekMode.Start);
      file.readSync(last);
      file.seekSync(size - 1, Deno.SeekMode.Start);
      changed = file.writeSync(last.map((byte) => byte ^ 1)) === 1;
    };
    const merging = mergeToFolder(plan, `${folder}/out`, { workers: 1, verify, onProgress });
    if (!verify) await merging;
    else assertEquals((await assertRejects(() => merging, EtherError)).code, "verify_failed");
    assertEquals([changed, [...Deno.readDirSync(folder)].length], [true, verify ? 0 : 1]);
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("mergeTo: a sync that fails while others are computed is the caller's error", async () => {
  const { plan } = await prepare();
  const output = {
    create: () => Promise.resolve(),
    open: () => ({ write: () => {}, close: () => {} }),
    sync: () => Promise.reject(new Error("no sync")),
    locate: (path: string) => path,
  };
  await assertRejects(() => mergeTo(plan, output, fileStorage), Error, "no sync");
});

Deno.test("mergeToFolder: a number of workers that is none is usage", async () => {
  const { plan } = await prepare();
  for (const workers of [0, -1, 1.5, NaN, 257]) {
    const error = await assertRejects(() => mergeToFolder(plan, "/nowhere/out", { workers }), EtherError);
    assertEquals(error.code, "usage");
  }
});

Deno.test("usefulWorkers: no more than a small merge has work for", async () => {
  const { plan } = await prepare();
  assertEquals([1, 2, 4, 200].map((asked) => usefulWorkers(asked, plan)), [1, 2, 4, 4]);
  assertThrows(() => usefulWorkers(1000, plan), EtherError, "1000");
});

Deno.test("prepareMerge: a dtype that is none is usage", async () => {
  const base = `${LLAMA}base`;
  const adapters = [{ path: `${LLAMA}ether` }];
  const f8 = await assertRejects(() => prepareMerge({ base, adapters, dtype: "F8" as "F16" }), EtherError);
  assertMatch(f8.message, /F8 is not one of F32, F16, BF16/);
});

Deno.test("mergeToFolder: a manifest tells the same of a base with a sidecar and of one without", async () => {
  const folder = await Deno.makeTempDir();
  const { plan } = await prepare();
  await mergeToFolder(plan, `${folder}/plain`);
  const planned = { ...plan, baseFiles: plan.baseFiles.map((file) => ({ ...file, sha256: "0".repeat(64) })) };
  await mergeToFolder(planned, `${folder}/known`);
  const manifest = (name: string) => Deno.readTextFileSync(`${folder}/${name}/ether-merge.json`);
  assertEquals(manifest("known"), manifest("plain"));
  await mergeToFolder(planned, `${folder}/asked`, { sha256: true });
  assert(manifest("asked").includes(`sha256:${"0".repeat(64)}`));
  await Deno.remove(folder, { recursive: true });
});

Deno.test("mergeToFolder: an output that is, holds or lies in base or adapter is usage, by any path, and deletes nothing", async () => {
  const manifest = { "ether-merge.json": "{}" };
  const base = makeBase(manifest);
  const around = base.replace(/\/base$/, "");
  const adapter = `${around}/out/adapter`;
  Deno.mkdirSync(`${around}/out`);
  Deno.renameSync(makeAdapter(), adapter);
  for (const folder of [around, `${around}/out`, adapter]) addFiles(folder, manifest);
  const links = makeFolder({});
  Deno.symlinkSync(base, `${links}/base`);
  Deno.symlinkSync(around, `${links}/around`);
  const before = listFiles(around);
  const holding = [base, around, adapter, `${around}/out`, `${links}/around/base`, `${links}/around/out/../base`];
  const within = [`${base}/new`, `${adapter}/new`, `${links}/base/new`];
  const files = [`${base}/model.safetensors`, `${adapter}/adapter_model.safetensors`] as const;
  const asked = [[base, adapter, [...holding, ...within]], [`${links}/base`, adapter, holding], [...files, holding]];
  for (const [model, path, outputs] of asked as [string, string, string[]][]) {
    const { plan } = await prepareMerge({ base: model, adapters: [{ path }] });
    for (const output of outputs) {
      const error = await assertRejects(() => mergeToFolder(plan, output, { force: true }), EtherError);
      assertEquals(error.code, "usage", output);
    }
  }
  assertEquals(listFiles(around), before);
  const { plan } = await prepareMerge({ base, adapters: [{ path: adapter }] });
  await mergeToFolder(plan, `${around}/beside`);
});
