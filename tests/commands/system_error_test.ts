import { assertEquals } from "@std/assert";
import { assertRefused, mergeArgs, run } from "./command_line.ts";
import { makeAdapter, makeBase, makeFolder, newPath, tensorFile } from "./made_files.ts";

const ADAPTER = { "base_model.model.big.ether_u_in": { dtype: "F32", shape: [2, 512] } } as const;

/** Runs a system tool; false where it is not there or may not. */
async function tool(command: string, ...args: string[]): Promise<boolean> {
  try {
    return (await new Deno.Command(command, { args, stdout: "null", stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}

/** Mounts a disk of 2 MB for as long as `use` takes; says why where it cannot. */
async function onSmallDisk(use: (folder: string) => Promise<void>, more = ""): Promise<void> {
  const folder = makeFolder({}, "disk");
  if (!await tool("mount", "-t", "tmpfs", "-o", `size=2m${more}`, "tmpfs", folder)) {
    return console.log("skipped: mounting a small disk needs root");
  }
  try {
    await use(folder);
  } finally {
    await tool("umount", folder);
  }
}

for (const workers of ["1", "2"]) {
  Deno.test(`a full disk is no_space 3 with --workers ${workers}, and what was written is removed`, async () => {
    const big = tensorFile({ "big.weight": { dtype: "F32", shape: [1024, 1024] } });
    const base = makeFolder({ "model.safetensors": big }, "base");
    await onSmallDisk(async (disk) => {
      const output = `${disk}/new/out`;
      const outcome = await run(mergeArgs(base, makeAdapter({}, ADAPTER), output, "--workers", workers));
      assertRefused(outcome, 3, new RegExp(`^error: no_space: ${output}/model\\.safetensors: the disk is full; free`));
      assertEquals([...Deno.readDirSync(disk)], []);
    });
  });
}

Deno.test("a full disk while small files are copied is no_space 3 too", async () => {
  const base = makeBase({ "tokenizer.json": new Uint8Array(4 << 20) });
  await onSmallDisk(async (disk) => {
    assertRefused(await run(mergeArgs(base, makeAdapter(), `${disk}/out`)), 3, "no_space");
    assertEquals([...Deno.readDirSync(disk)], []);
  });
});

Deno.test("an output where nothing may be written is io_error 3, with what the system says", async () => {
  await onSmallDisk(async (disk) => {
    const readOnly = /^error: io_error: .*\/out: .*[Rr]ead-only file system/;
    for (const output of [`${disk}/out`, `${disk}/new/out`]) {
      assertRefused(await run(mergeArgs(makeBase(), makeAdapter(), output)), 3, readOnly);
    }
  }, ",ro");
});

const root = Deno.uid() === 0;
if (root) console.log("skipped: root may read every file, so that an unreadable base cannot be made");

Deno.test({ name: "a base that may not be read is io_error 3, and named", ignore: root }, async () => {
  const base = makeBase();
  Deno.chmodSync(`${base}/model.safetensors`, 0);
  const outcome = await run(mergeArgs(base, makeAdapter(), newPath()));
  assertRefused(outcome, 3, /^error: io_error: .*model\.safetensors: /);
});

Deno.test("a base that is no regular file is refused before it is read", async () => {
  const folder = makeFolder({});
  if (!await tool("mkfifo", `${folder}/model.safetensors`)) return console.log("skipped: there is no mkfifo");
  assertRefused(await run(mergeArgs(folder, makeAdapter(), newPath())), 1, "unsupported_format");
  assertRefused(await run(mergeArgs(`${folder}/model.safetensors`, makeAdapter(), newPath())), 1, "not_found");
});
