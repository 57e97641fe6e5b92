import { assert, assertEquals, assertRejects } from "@std/assert";
import { BESIDE_OUTPUT, checkOutputPlace, OutputFolder } from "../../../runtime/deno/output_folder.ts";
import { EtherError } from "../../../runtime/error.ts";
import { addFiles, listFiles, makeFolder, newPath } from "../../commands/made_files.ts";

function neighbours(path: string): string[] {
  return [...Deno.readDirSync(path.replace(/\/[^/]*$/, ""))].map(({ name }) => name).sort();
}

async function write(output: OutputFolder, path: string, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  await output.create(path, bytes.byteLength);
  const sink = await output.open(path);
  await sink.write(0, bytes);
  sink.close();
  await output.sync(path);
}

Deno.test("OutputFolder is not there until it is committed, and alone when it is", async () => {
  const path = newPath("out");
  const output = await OutputFolder.start(path);
  await write(output, "sub/deep/a.txt", "hello");
  assertEquals(neighbours(path), ["out.ether-lock", "out.partial"]);
  await output.commit();
  assertEquals([neighbours(path), listFiles(path)], [["out"], ["sub/deep/a.txt"]]);
  assertEquals(Deno.readTextFileSync(`${path}/sub/deep/a.txt`), "hello");
});

Deno.test("OutputFolder.create makes a file of its size, and refuses one that is there", async () => {
  const path = newPath("out");
  const output = await OutputFolder.start(path);
  await output.create("a", 1000);
  assertEquals(Deno.statSync(output.locate("a")).size, 1000);
  assertEquals((await assertRejects(() => output.create("a", 1), EtherError)).code, "io_error");
  await output.discard();
});

Deno.test("OutputFolder.discard removes what was written and the parents that were made for it, and no others", async () => {
  const root = makeFolder({});
  const first = await OutputFolder.start(`${root}/a/b/first`);
  await write(first, "x", "x");
  const second = await OutputFolder.start(`${root}/a/second`);
  await first.discard();
  assertEquals([...Deno.readDirSync(`${root}/a`)].map(({ name }) => name).sort(), [
    "second.ether-lock",
    "second.partial",
  ]);
  await second.discard();
  // `a` was made for the first, which left it to the second; that one did not make it.
  assertEquals([...Deno.readDirSync(root)].map(({ name }) => name), ["a"]);
  assertEquals([...Deno.readDirSync(`${root}/a`)], []);
});

Deno.test("OutputFolder: a second one at the same place is locked until the first has ended", async () => {
  const path = newPath("out");
  const first = await OutputFolder.start(path);
  assertEquals((await assertRejects(() => OutputFolder.start(path), EtherError)).code, "locked");
  assertEquals(neighbours(path), ["out.ether-lock", "out.partial"]);
  await first.discard();
  const second = await OutputFolder.start(path);
  await second.commit();
  assertEquals(neighbours(path), ["out"]);
});

Deno.test("OutputFolder: of many that start at once, exactly one gets the place", async () => {
  const path = newPath("out");
  for (let round = 0; round < 10; round++) {
    const starts = await Promise.allSettled(Array.from({ length: 8 }, () => OutputFolder.start(path)));
    const started = starts.flatMap((start) => start.status === "fulfilled" ? [start.value] : []);
    assertEquals(started.length, 1);
    for (const start of starts) if (start.status === "rejected") assertEquals(start.reason.code, "locked");
    await started[0]!.discard();
    assertEquals(neighbours(path), []);
  }
});

Deno.test("OutputFolder: with force the older output is there until the new one is", async () => {
  const path = makeFolder({ "ether-merge.json": "{}", "old": "old" }, "out");
  const output = await OutputFolder.start(path, { force: true });
  await write(output, "new", "new");
  assertEquals(listFiles(path), ["ether-merge.json", "old"]);
  await output.commit();
  assertEquals([listFiles(path), neighbours(path)], [["new"], ["out"]]);
});

Deno.test("OutputFolder.commit that fails brings the older output back", async () => {
  const path = makeFolder({ "ether-merge.json": "{}", "old": "old" }, "out");
  const output = await OutputFolder.start(path, { force: true });
  // A rename into the middle of nowhere: as a disk that fails between the two renames.
  const { rename } = Deno;
  let renames = 0;
  Deno.rename = (from, to) => ++renames === 2 ? Promise.reject(new Error("EIO")) : rename(from, to);
  try {
    assertEquals((await assertRejects(() => output.commit(), EtherError)).code, "io_error");
  } finally {
    Deno.rename = rename;
  }
  await output.discard();
  assertEquals([listFiles(path), neighbours(path)], [["ether-merge.json", "old"], ["out"]]);
});

Deno.test("OutputFolder of a relative path lies where the process stands", async () => {
  const folder = makeFolder({});
  const before = Deno.cwd();
  Deno.chdir(folder);
  try {
    const output = await OutputFolder.start("merged");
    await write(output, "a", "a");
    await output.commit();
    const nested = await OutputFolder.start("x/y");
    await nested.commit();
  } finally {
    Deno.chdir(before);
  }
  assertEquals(listFiles(folder), ["merged/a"]);
  assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["merged", "x"]);
  assert(Deno.statSync(`${folder}/x/y`).isDirectory);
});

Deno.test("BESIDE_OUTPUT names all that OutputFolder makes beside an output", async () => {
  const path = makeFolder({ "ether-merge.json": "{}" }, "out");
  const output = await OutputFolder.start(path, { force: true });
  const seen = new Set(neighbours(path));
  const { remove } = Deno;
  Deno.remove = (target, options) => {
    for (const name of neighbours(path)) seen.add(name);
    return remove(target, options);
  };
  try {
    await output.commit();
  } finally {
    Deno.remove = remove;
  }
  assertEquals([...seen].sort(), ["out", ...BESIDE_OUTPUT.map((suffix) => `out${suffix}`)].sort());
});

Deno.test("checkOutputPlace: a folder with a manifest may be replaced, whatever else is in it", async () => {
  const path = makeFolder({ "ether-merge.json": "{}", "x": "" });
  await checkOutputPlace(path, path, true);
  addFiles(path, { "sub/y": "" });
  await checkOutputPlace(path, path, true);
  assertEquals((await assertRejects(() => checkOutputPlace(path, "out", false), EtherError)).code, "exists");
  await checkOutputPlace(newPath(), "out", false);
});
