import { assertEquals, assertStringIncludes } from "@std/assert";
import { assertDone, assertRefused, mergeArgs, run } from "./command_line.ts";
import { addFiles, listFiles, makeAdapter, makeBase, makeFolder, newPath } from "./made_files.ts";

const base = makeBase();
const adapter = makeAdapter();
const MERGED = ["config.json", "ether-merge.json", "model.safetensors"];

/** What lies beside an output, the output included. */
function neighbours(output: string): string[] {
  return [...Deno.readDirSync(output.replace(/\/[^/]*$/, ""))].map(({ name }) => name).sort();
}

/** Puts something at the output's place. */
type Occupy = (output: string) => void;

const REPLACEABLE: Readonly<Record<string, Occupy>> = {
  "an empty folder": (output) => Deno.mkdirSync(output),
  "an older merged folder": (output) => {
    Deno.mkdirSync(output);
    addFiles(output, { "ether-merge.json": "{}", "model-00001-of-00009.safetensors": "old", "sub/file": "old" });
  },
};

for (const [name, occupy] of Object.entries(REPLACEABLE)) {
  Deno.test(`${name} is exists without --force, and replaced whole with it`, async () => {
    const output = newPath("out");
    occupy(output);
    const before = listFiles(output);
    assertRefused(
      await run(mergeArgs(base, adapter, output)),
      1,
      /^error: exists: .*out: .*; --force replaces a merged/,
    );
    assertEquals([listFiles(output), neighbours(output)], [before, ["out"]]);
    assertDone(await run(mergeArgs(base, adapter, output, "--force")));
    assertEquals([listFiles(output), neighbours(output)], [MERGED, ["out"]]);
  });
}

const KEPT: Readonly<Record<string, Occupy>> = {
  "a folder with something else": (output) => {
    Deno.mkdirSync(output);
    addFiles(output, { "thesis.tex": "years of work" });
  },
  "a folder with a model that no merge wrote": (output) => {
    Deno.mkdirSync(output);
    addFiles(output, { "model.safetensors": "weights", "sub/ether-merge.json": "{}" });
  },
  "a file": (output) => Deno.writeTextFileSync(output, "text"),
  "a link to a merged folder": (output) => {
    Deno.symlinkSync(makeFolder({ "ether-merge.json": "{}" }), output);
  },
  "a link to nothing": (output) => Deno.symlinkSync("nowhere", output),
};

for (const [name, occupy] of Object.entries(KEPT)) {
  Deno.test(`${name} stays as it is, also with --force`, async () => {
    const output = newPath("out");
    occupy(output);
    const target = Deno.lstatSync(output);
    const before = target.isDirectory ? listFiles(output) : null;
    for (const more of [[], ["--force"]]) {
      assertRefused(await run(mergeArgs(base, adapter, output, ...more)), 1, "exists");
    }
    assertEquals(neighbours(output), ["out"]);
    assertEquals(Deno.lstatSync(output).ino, target.ino);
    if (before !== null) assertEquals(listFiles(output), before);
  });
}

Deno.test("--force keeps the older output when the new one cannot be made", async () => {
  const output = makeFolder({ "ether-merge.json": "{}", "old": "old" }, "out");
  assertRefused(await run(mergeArgs(base, makeAdapter({ num_blocks: 3 }), output, "--force")), 1, "bad_blocks");
  assertEquals([listFiles(output), neighbours(output)], [["ether-merge.json", "old"], ["out"]]);
});

Deno.test("a crash while the output was put into place leaves the older one aside: the next run brings it back", async () => {
  const output = newPath("out");
  const replaced = `${output}.replaced`;
  Deno.mkdirSync(replaced);
  addFiles(replaced, { "ether-merge.json": "{}", "old": "old" });
  Deno.mkdirSync(`${output}.partial`);
  const outcome = await run(mergeArgs(base, adapter, output));
  assertRefused(outcome, 1, "exists");
  assertStringIncludes(outcome.stderr, `an interrupted run had moved ${output} aside`);
  assertEquals(listFiles(output), ["ether-merge.json", "old"]);
  assertDone(await run(mergeArgs(base, adapter, output, "--force")));
  assertEquals([listFiles(output), neighbours(output)], [MERGED, ["out"]]);
});

Deno.test("a crash after the output was put into place leaves the older one too: the next run says so and removes it", async () => {
  const output = newPath("out");
  assertDone(await run(mergeArgs(base, adapter, output)));
  Deno.mkdirSync(`${output}.replaced`);
  addFiles(`${output}.replaced`, { "ether-merge.json": "{}", "old": "old" });
  const refused = await run(mergeArgs(base, adapter, output));
  assertRefused(refused, 1, /^error: exists: .*it is complete; an interrupted run left out\.replaced/);
  const outcome = await run(mergeArgs(base, adapter, output, "--force"));
  assertDone(outcome);
  assertStringIncludes(outcome.stderr, `${output} is complete; an interrupted run left`);
  assertEquals([listFiles(output), neighbours(output)], [MERGED, ["out"]]);
});

Deno.test("a folder that happens to be named like the output's .replaced is not touched", async () => {
  for (const occupied of [false, true]) {
    const output = newPath("out");
    if (occupied) Deno.mkdirSync(output);
    Deno.mkdirSync(`${output}.replaced`);
    addFiles(`${output}.replaced`, { "thesis.tex": "years of work" });
    const outcome = await run(mergeArgs(base, adapter, output, "--force"));
    assertRefused(outcome, 1, /^error: exists: .*out\.replaced is in the way; no merge left it/);
    assertEquals(listFiles(`${output}.replaced`), ["thesis.tex"]);
    assertEquals(neighbours(output), occupied ? ["out", "out.replaced"] : ["out.replaced"]);
  }
});

Deno.test("a leftover .partial is removed, and said so; a lock file that nobody holds is no lock", async () => {
  const output = newPath("out");
  Deno.mkdirSync(`${output}.partial`);
  addFiles(`${output}.partial`, { ".ether-partial": "", "model.safetensors": "half" });
  Deno.writeTextFileSync(`${output}.ether-lock`, "");
  const outcome = await run(mergeArgs(base, adapter, output));
  assertDone(outcome);
  assertStringIncludes(outcome.stderr, `removed ${output}.partial, which an interrupted run left`);
  assertEquals([listFiles(output), neighbours(output)], [MERGED, ["out"]]);
});

Deno.test("a lock that a process holds is locked; its .partial and its lock stay", async () => {
  const output = newPath("out");
  Deno.mkdirSync(`${output}.partial`);
  using file = Deno.openSync(`${output}.ether-lock`, { create: true, write: true });
  file.lockSync(true);
  const outcome = await run(mergeArgs(base, adapter, output, "--force"));
  assertRefused(outcome, 1, /^error: locked: .*out: another process writes this output; wait for it/);
  assertEquals(neighbours(output), ["out.ether-lock", "out.partial"]);
});

const FOREIGN: readonly (readonly [name: string, make: (path: string) => void])[] = [
  ["out.ether-lock", (path) => Deno.writeTextFileSync(path, '{"version":"5"}')],
  ["out.ether-lock", (path) => Deno.mkdirSync(path)],
  ["out.ether-lock", (path) => Deno.symlinkSync("elsewhere", path)],
  ["out.partial", (path) => Deno.writeTextFileSync(path, "years of work")],
  ["out.partial", (path) => {
    Deno.mkdirSync(path);
    addFiles(path, { "ether-merge.json": "{}", "thesis.tex": "years of work" });
  }],
];

for (const [name, make] of FOREIGN) {
  Deno.test(`what is named ${name} and no merge left is refused and stays`, async () => {
    const output = newPath("out");
    const path = output.replace(/[^/]*$/, name);
    make(path);
    const before = Deno.lstatSync(path);
    const inside = before.isDirectory ? listFiles(path) : null;
    const line = new RegExp(`^error: exists: .*out: ${name} is in the way`);
    assertRefused(await run(mergeArgs(base, adapter, output, "--force")), 1, line);
    const after = Deno.lstatSync(path);
    assertEquals([after.ino, after.size, neighbours(output)], [before.ino, before.size, [name]]);
    if (inside !== null) assertEquals(listFiles(path), inside);
  });
}

Deno.test("lock files of package managers beside the output stay as they are", async () => {
  const output = newPath("deno");
  for (const content of ["{}", ""]) {
    Deno.writeTextFileSync(`${output}.lock`, content);
    assertDone(await run(mergeArgs(base, adapter, output, "--force")));
    assertEquals(Deno.readTextFileSync(`${output}.lock`), content);
  }
  assertEquals(listFiles(output), MERGED);
});
