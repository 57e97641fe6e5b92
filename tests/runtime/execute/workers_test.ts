/** Real worker threads over real files. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { openPlace } from "../../../runtime/deno/file_folder.ts";
import { fileStorage, mergeToFolder } from "../../../runtime/deno/merge_folder.ts";
import { OutputFolder } from "../../../runtime/deno/output_folder.ts";
import { ThreadStock } from "../../../runtime/deno/thread_stock.ts";
import { startRunners } from "../../../runtime/deno/runners.ts";
import { WorkerRunner } from "../../../runtime/deno/worker_runner.ts";
import { EtherError } from "../../../runtime/error.ts";
import { runMerge } from "../../../runtime/execute/run_merge.ts";
import { stepsOf } from "../../../runtime/execute/steps.ts";
import { PIECE_BYTES } from "../../../runtime/execute/tree_digest.ts";
import type { MergePlan } from "../../../runtime/plans/plan.ts";
import { prepareMerge } from "../../../runtime/plans/prepare_merge.ts";
import { buildProblem, computeFile, type Problem } from "./problem.ts";

const PROBLEM: Problem = {
  ...{ seed: 11, dtype: "BF16", outer: 1600, inner: 1111 },
  adapters: [
    { variant: "etherplus", sides: ["in", "out"], layout: "paper", numBlocks: 1 },
    { variant: "ether", sides: ["out"], layout: "paper", numBlocks: 2 },
  ],
};

/** A problem on disk, and what it must become. */
async function withFiles(check: (folder: string, plan: MergePlan, expected: Uint8Array) => Promise<void>) {
  const folder = await Deno.makeTempDir({ prefix: "ether-workers-" });
  try {
    const built = await buildProblem(PROBLEM);
    const files = ["base/model.safetensors"];
    for (const index of PROBLEM.adapters.keys()) {
      files.push(`adapter${index}/adapter_model.safetensors`, `adapter${index}/adapter_config.json`);
    }
    for (const path of files) {
      await Deno.mkdir(`${folder}/${path.split("/")[0]}`, { recursive: true });
      await Deno.writeFile(`${folder}/${path}`, built.storage.get(path));
    }
    const place = (name: string) => openPlace(`${folder}/${name}`, name);
    const adapters = [];
    for (const index of PROBLEM.adapters.keys()) adapters.push({ place: await place(`adapter${index}`) });
    const { plan } = await prepareMerge({ base: await place("base"), adapters }, fileStorage);
    await check(folder, plan, await computeFile(built));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("startRunners: one, two and three workers write the same bytes and the same manifest", async () => {
  await withFiles(async (folder, plan, expected) => {
    const tileByteLength = 65536;
    const { steps, groups } = stepsOf(plan, tileByteLength, PIECE_BYTES);
    assert(groups.size === 3 && steps.length > 8, "sums beforehand and several shares");
    const manifests = new Set<string>();
    for (const workers of [1, 2, 3]) {
      const output = await OutputFolder.start(`${folder}/out${workers}`);
      const runners = startRunners(workers, { files: plan.files, output: output.root, tileByteLength });
      assertEquals(
        runners.map((runner) => runner instanceof WorkerRunner).sort(),
        [false, true, true].slice(0, workers),
      );
      try {
        await runMerge(plan, output, {
          ...{ ...fileStorage, runners, tileByteLength, shareByteLength: PIECE_BYTES, verify: true, sha256: true },
        });
      } finally {
        for (const runner of runners) await runner.close();
      }
      await output.commit();
      const merged = await Deno.readFile(`${folder}/out${workers}/model.safetensors`);
      assert(merged.every((byte, at) => byte === expected[at]), `${workers} workers`);
      assertEquals(merged.byteLength, expected.byteLength);
      manifests.add(await Deno.readTextFile(`${folder}/out${workers}/ether-merge.json`));
    }
    assertEquals(manifests.size, 1);
  });
});

Deno.test("mergeToFolder: a base that shrinks is an error with its code, and nothing is left", async () => {
  await withFiles(async (folder, plan) => {
    // The base shrinks after planning.
    await Deno.truncate(`${folder}/base/model.safetensors`, 1 << 20);
    for (const workers of [1, 2]) {
      const error = await assertRejects(() => mergeToFolder(plan, `${folder}/out`, { workers }), EtherError);
      assertEquals([error.code, error.file], ["io_error", `${await Deno.realPath(folder)}/base/model.safetensors`]);
      assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["adapter0", "adapter1", "base"]);
    }
  });
});

Deno.test("WorkerRunner: what a thread of its own throws keeps its code, place and hint", async () => {
  await withFiles(async (folder, plan) => {
    const runner = new WorkerRunner(new ThreadStock(0).take(), {
      files: plan.files,
      output: folder,
      tileByteLength: 65536,
    });
    try {
      const task = { kind: "digest", locator: `${folder}/base/model.safetensors`, offset: 0, byteLength: 1e9 } as const;
      const error = await assertRejects(() => runner.run(task, () => {}), EtherError);
      assertEquals([error.code, error.file], ["io_error", task.locator]);
      assert(error.hint !== undefined);
      // It goes on working.
      assertEquals((await runner.run({ ...task, byteLength: 8 }, () => {})).sha256.length, 64);
    } finally {
      await runner.close();
    }
  });
});

Deno.test("mergeToFolder: an abort ends it with interrupted, and nothing is left", async () => {
  await withFiles(async (folder, plan) => {
    for (const workers of [1, 2]) {
      const abort = new AbortController();
      const onProgress = () => abort.abort();
      const merge = () => mergeToFolder(plan, `${folder}/out`, { workers, signal: abort.signal, onProgress });
      assertEquals((await assertRejects(merge, EtherError)).code, "interrupted");
      assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["adapter0", "adapter1", "base"]);
    }
  });
});
