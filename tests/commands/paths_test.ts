import { assertEquals, assertStringIncludes } from "@std/assert";
import { assertDone, assertRefused, mergeArgs, outcomeOf, REPOSITORY, run } from "./command_line.ts";
import { addFiles, listFiles, makeAdapter, makeBase, makeFolder, newPath } from "./made_files.ts";

const OUTPUT_FILES = ["config.json", "ether-merge.json", "model.safetensors"];

/** A folder with `base` and `adapter` in it, to be named by relative paths. */
function makeWorkspace(): string {
  const folder = makeFolder({}, "work space");
  Deno.renameSync(makeBase(), `${folder}/base`);
  Deno.renameSync(makeAdapter(), `${folder}/adapter`);
  return folder;
}

Deno.test("paths are relative to where the process stands", async () => {
  const cwd = makeWorkspace();
  assertDone(await run(mergeArgs("base", "./adapter", "new/../out/"), { cwd, env: { INIT_CWD: "/" } }));
  assertEquals(listFiles(`${cwd}/out`), OUTPUT_FILES);
});

Deno.test("deno task: paths are relative to where the user stands", async () => {
  const cwd = makeWorkspace();
  const outcome = outcomeOf(
    await new Deno.Command(Deno.execPath(), {
      args: ["task", "--config", `${REPOSITORY}deno.json`, ...mergeArgs("base", "adapter", "out")],
      cwd,
      // As in a shell: the task that runs this test has set INIT_CWD for itself, and an inner task keeps it.
      clearEnv: true,
      env: Object.fromEntries(["PATH", "HOME", "DENO_DIR"].flatMap((name) => {
        const value = Deno.env.get(name);
        return value === undefined ? [] : [[name, value]];
      })),
    }).output(),
  );
  assertDone(outcome);
  assertEquals(listFiles(`${cwd}/out`), OUTPUT_FILES);
  assertStringIncludes(outcome.stdout, "into out\n");
});

Deno.test("a checkout whose path has a space finds INIT_CWD and its own fixtures", async () => {
  const cwd = makeWorkspace();
  const checkout = newPath("check out é");
  Deno.mkdirSync(checkout);
  for (const name of ["cli.ts", "deno.json", "deno.lock", "commands", "routes", "runtime", "fixtures", "testing"]) {
    await new Deno.Command("cp", { args: ["-r", `${REPOSITORY}${name}`, checkout] }).output();
  }
  const deno = async (...args: string[]) => {
    const command = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "cli.ts", ...args],
      cwd: checkout,
      env: { INIT_CWD: cwd },
    });
    return outcomeOf(await command.output());
  };
  assertDone(await deno(...mergeArgs("base", "adapter", "out")));
  assertEquals(listFiles(`${cwd}/out`), OUTPUT_FILES);
  assertDone(await deno("demo", "-q", "--output", "demo-out"));
  assertEquals(Deno.statSync(`${cwd}/demo-out/ether-merge.json`).isFile, true);
});

Deno.test("what the user does not have is not_found, named as they named it", async () => {
  const cwd = makeWorkspace();
  const cases = [
    [mergeArgs("bass", "adapter", "out"), "bass"],
    [mergeArgs("base", "adaptor", "out"), "adaptor"],
    [mergeArgs("base/config.json/x", "adapter", "out"), "base/config.json/x"],
    [mergeArgs("base", "base", "out"), "base"],
    [["inspect", "bass"], "bass"],
    [["verify", "base"], "base"],
  ] as const;
  for (const [args, name] of cases) {
    assertRefused(await run(args, { cwd }), 1, new RegExp(`^error: not_found: ${name}: `));
  }
  assertEquals([...Deno.readDirSync(cwd)].length, 2);
});

Deno.test("not_found has a hint: the nearest name beside it, else where there is none of that name", async () => {
  const cwd = makeWorkspace();
  const cases = [
    [["inspect", "bass"], `the nearest name in ${cwd} is "base"`],
    [["inspect", "./adaptor/x/y"], `the nearest name in ${cwd} is "adapter"`],
    [["inspect", "base/confg.json"], `the nearest name in ${cwd}/base is "config.json"`],
    [["inspect", "zzzzzzzzzzzzzzzz"], `check the path: ${cwd} has no "zzzzzzzzzzzzzzzz"`],
    [["inspect", "base/config.json/x"], `${cwd}/base/config.json is a file`],
    [mergeArgs("base", "adaptor", "out"), `the nearest name in ${cwd} is "adapter"`],
    [mergeArgs("missing", "adapter", "out"), `check the path: ${cwd} has no "missing"`],
  ] as const;
  for (const [args, hint] of cases) {
    const { lastLine } = await run(args, { cwd });
    assertEquals(lastLine.split("no such file or folder; ")[1], hint);
  }
  // Another hint, and what is there, are left alone.
  assertStringIncludes((await run(["verify", "base"], { cwd })).lastLine, "verify takes a folder that merge wrote");
});

/** Outputs that would be read while they are written; the workspace has links to base and adapter. */
const APART: readonly (readonly [name: string, output: string, message: string])[] = [
  ["the base itself", "base", "is the base"],
  ["a folder in the base", "base/out", "lies in the base"],
  ["a folder deep in the base", "base/new/out", "lies in the base"],
  ["the folder around the base", "around", "contains the base"],
  ["the base by a link", "link", "is the base"],
  ["a folder in the base by a link", "link/out", "lies in the base"],
  ["the adapter", "adapter", "is an adapter"],
  ["a folder in the adapter by a link", "adapter-link/out", "lies in an adapter"],
];

for (const [name, output, message] of APART) {
  Deno.test(`an output that is ${name} is refused, also with --force`, async () => {
    const cwd = makeWorkspace();
    Deno.mkdirSync(`${cwd}/around`);
    Deno.renameSync(`${cwd}/base`, `${cwd}/around/base`);
    Deno.symlinkSync("around/base", `${cwd}/base`);
    Deno.symlinkSync("base", `${cwd}/link`);
    Deno.symlinkSync("adapter", `${cwd}/adapter-link`);
    const before = listFiles(cwd);
    for (const more of [[], ["--force"]]) {
      const outcome = await run(mergeArgs("base", "adapter", output, ...more), { cwd });
      assertRefused(outcome, 2, new RegExp(`^error: usage: ${output}: --output: the output ${message}`));
    }
    assertEquals(listFiles(cwd), before);
  });
}

for (const suffix of ["partial", "replaced", "ether-lock"]) {
  Deno.test(`an output whose .${suffix} would be the base is refused: that name is cleared while merging`, async () => {
    const cwd = makeWorkspace();
    Deno.renameSync(`${cwd}/base`, `${cwd}/out.${suffix}`);
    const outcome = await run(mergeArgs(`out.${suffix}`, "adapter", "out", "--force"), { cwd });
    assertRefused(outcome, 2, new RegExp(`^error: usage: out: --output: .*out\\.${suffix}.* is the base`));
    assertEquals(listFiles(`${cwd}/out.${suffix}`), ["config.json", "model.safetensors"]);
  });
}

Deno.test("an output beside a single-file base is fine; it is the file that must stay apart", async () => {
  const cwd = makeWorkspace();
  assertDone(await run(mergeArgs("base/model.safetensors", "adapter/adapter_model.safetensors", "base/out"), { cwd }));
  assertEquals(listFiles(`${cwd}/base/out`), ["ether-merge.json", "model.safetensors"]);
  const onto = await run(mergeArgs("base/model.safetensors", "adapter", "base/model.safetensors"), { cwd });
  assertRefused(onto, 2, /^error: usage: base\/model\.safetensors: --output: the output is the base/);
});

Deno.test("a parent that is a file is io_error 3, and says which", async () => {
  const cwd = makeWorkspace();
  addFiles(cwd, { file: "x" });
  for (const output of ["file/out", "file/a/b/out"]) {
    const outcome = await run(mergeArgs("base", "adapter", output), { cwd });
    assertRefused(outcome, 3, new RegExp(`^error: io_error: ${output}: .*not a (directory|folder)`));
  }
  assertEquals(Deno.readTextFileSync(`${cwd}/file`), "x");
});
