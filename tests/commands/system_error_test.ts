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

/** Mounts a disk of 2 MB. */
async function mount(folder: string, more = ""): Promise<boolean> {
  return await tool("mount", "-t", "tmpfs", "-o", `size=2m${more}`, "tmpfs", folder);
}

/** Mounts a disk of 2 MB for as long as `use` takes. */
async function onSmallDisk(use: (folder: string) => Promise<void>, more = ""): Promise<void> {
  const folder = makeFolder({}, "disk");
  assertEquals(await mount(folder, more), true);
  try {
    await use(folder);
  } finally {
    await tool("umount", folder);
  }
}

const trial = makeFolder({}, "disk");
const noDisk = !await mount(trial);
if (noDisk) console.log("skipped: mounting a small disk needs root");
else await tool("umount", trial);

/** A test that needs a small disk. */
function diskTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: noDisk, fn });
}

for (const workers of ["1", "2"]) {
  diskTest(`a full disk is no_space 3 with --workers ${workers}, and what was written is removed`, async () => {
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

diskTest("a full disk while small files are copied is no_space 3 too", async () => {
  const base = makeBase({ "tokenizer.json": new Uint8Array(4 << 20) });
  await onSmallDisk(async (disk) => {
    assertRefused(await run(mergeArgs(base, makeAdapter(), `${disk}/out`)), 3, "no_space");
    assertEquals([...Deno.readDirSync(disk)], []);
  });
});

diskTest("an output where nothing may be written is io_error 3, with what the system says", async () => {
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

const pipes = makeFolder({});
const noPipe = !await tool("mkfifo", `${pipes}/model.safetensors`);
if (noPipe) console.log("skipped: there is no mkfifo");

Deno.test({ name: "a base that is no regular file is refused before it is read", ignore: noPipe }, async () => {
  assertRefused(await run(mergeArgs(pipes, makeAdapter(), newPath())), 1, "unsupported_format");
  assertRefused(await run(mergeArgs(`${pipes}/model.safetensors`, makeAdapter(), newPath())), 1, "not_found");
});
