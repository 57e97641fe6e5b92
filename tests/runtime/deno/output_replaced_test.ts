import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { OutputFolder } from "../../../runtime/deno/output_folder.ts";
import { EtherError } from "../../../runtime/error.ts";
import { addFiles, listFiles, makeFolder, newPath } from "../../commands/made_files.ts";

/** Runs with folders named `theirs` that cannot be removed, as if somebody else owned what is in them. */
async function withTheirs<T>(work: () => Promise<T>): Promise<T> {
  const { remove } = Deno;
  Deno.remove = (path, options) => {
    if (!`${path}`.endsWith("/theirs")) return remove(path, options);
    return Promise.reject(new Deno.errors.PermissionDenied("Permission denied (os error 13)"));
  };
  try {
    return await work();
  } finally {
    Deno.remove = remove;
  }
}

/** Replaces what is at a path by an output with a manifest and one file; returns what was said. */
async function replace(path: string, file: string): Promise<string[]> {
  const notices: string[] = [];
  const output = await OutputFolder.start(path, { name: "out", force: true, onNotice: (text) => notices.push(text) });
  for (const name of ["ether-merge.json", file]) await output.create(name, 1);
  await output.commit();
  return notices;
}

function makeOld(): string {
  return makeFolder({ "ether-merge.json": "{}", "theirs/x": "x", "weights": "old", "z/y": "y" }, "out");
}

Deno.test("OutputFolder: a replaced output that cannot be removed is said, and the new one is there", async () => {
  const path = makeOld();
  const notices = await withTheirs(() => replace(path, "new"));
  assertEquals(notices.length, 1);
  assertMatch(notices[0]!, /^out\.replaced, the output before, cannot be removed: Permission denied.*tries again$/);
  assertEquals(listFiles(path), ["ether-merge.json", "new"]);
  assertEquals(listFiles(`${path}.replaced`), ["ether-merge.json.removed", "theirs/x"]);

  // Still not: said before anything is computed, and nothing is lost.
  const error = await assertRejects(() => withTheirs(() => replace(path, "newer")), EtherError);
  assertEquals([error.code, error.file], ["io_error", "out.replaced"]);
  assertEquals(listFiles(path), ["ether-merge.json", "new"]);

  assertEquals(await replace(path, "newest"), ["removed what an earlier run left of out.replaced"]);
  assertEquals(listFiles(path), ["ether-merge.json", "newest"]);
  assertEquals(Array.from(Deno.readDirSync(path.replace(/\/out$/, "")), ({ name }) => name), ["out"]);
});

Deno.test("OutputFolder: half a replaced output never comes back as the output, and stops no new one", async () => {
  const path = makeOld();
  await withTheirs(() => replace(path, "new"));
  Deno.removeSync(path, { recursive: true });
  await withTheirs(() => replace(path, "newer"));
  assertEquals(listFiles(path), ["ether-merge.json", "newer"]);
  assertEquals(listFiles(`${path}.replaced`), ["ether-merge.json.removed", "theirs/x"]);
});

Deno.test("OutputFolder: an interrupted removal is gone on with", async () => {
  const path = newPath("out");
  Deno.mkdirSync(`${path}.replaced`);
  addFiles(`${path}.replaced`, { "ether-merge.json.removed": "{}", "weights": "old" });
  assertEquals(await replace(path, "new"), ["removed what an earlier run left of out.replaced"]);
  assertEquals(listFiles(path.replace(/\/out$/, "")), ["out/ether-merge.json", "out/new"]);
});
