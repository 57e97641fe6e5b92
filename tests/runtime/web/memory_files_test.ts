import { assertEquals, assertThrows } from "@std/assert";
import { startDigest } from "../../../runtime/deno/digest.ts";
import { prepareMerge as prepareFiles, streamMerged } from "../../../runtime/deno/library.ts";
import { EtherError } from "../../../runtime/error.ts";
import { mergeTo } from "../../../runtime/execute/merge_to.ts";
import { prepareMerge } from "../../../runtime/plans/prepare_merge.ts";
import { MemoryFiles } from "../../../runtime/web/memory_files.ts";

const LLAMA = "fixtures/llama";

Deno.test("MemoryFiles: a merge in memory gives the bytes of the same merge on disk", async () => {
  const files = new MemoryFiles();
  for (const folder of ["base", "etherplus"]) {
    for (const { name } of Deno.readDirSync(`${LLAMA}/${folder}`)) {
      if (!name.endsWith(".sha256")) files.set(`${folder}/${name}`, Deno.readFileSync(`${LLAMA}/${folder}/${name}`));
    }
  }
  const request = { base: files.place("base"), adapters: [{ place: files.place("etherplus"), strength: 0.5 }] };
  const { plan } = await prepareMerge(request, files);
  const { manifest } = await mergeTo(plan, files.output("merged"), files, { verify: true });
  assertEquals(files.get("merged/ether-merge.json"), manifest);

  const paths = { base: `${LLAMA}/base`, adapters: [{ path: `${LLAMA}/etherplus`, strength: 0.5 }] };
  const onDisk = (await prepareFiles(paths)).plan;
  assertEquals(onDisk.files.length, 3);
  for (const { path } of onDisk.files) {
    const digest = startDigest();
    for await (const bytes of streamMerged(onDisk, path)) digest.update(bytes);
    const inMemory = startDigest();
    inMemory.update(files.get(`merged/${path}`));
    assertEquals(inMemory.finish(), digest.finish(), path);
  }
});

Deno.test("MemoryFiles.place: a file named alone has its configs beside it, and no other neighbour", async () => {
  const empty = new Uint8Array(0);
  const files = new MemoryFiles([["a/x.safetensors", empty], ["a/config.json", empty], ["a/y.safetensors", empty]]);
  const names = async (path: string) => (await files.place(path).folder.list()).map((entry) => entry.path);
  assertEquals(await names("a/x.safetensors"), ["config.json", "x.safetensors"]);
  assertEquals(await names("a"), ["config.json", "x.safetensors", "y.safetensors"]);
  assertEquals(await names("b"), []);
  assertEquals((assertThrows(() => files.get("a/z"), EtherError) as EtherError).code, "not_found");
});
