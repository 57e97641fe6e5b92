import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { formatTable } from "../../commands/table.ts";
import { fitRows } from "../../commands/fit_table.ts";
import { ProgressLine } from "../../commands/progress_line.ts";
import { mergeArgs, type Outcome, outcomeOf, REPOSITORY } from "./command_line.ts";
import { listFiles, makeAdapter, makeBase, newPath } from "./made_files.ts";

const base = makeBase();
const adapter = makeAdapter();

/** Runs the command line with a stream redirected, as a shell does. */
async function redirected(redirection: string, args: readonly string[]): Promise<Outcome> {
  const words = ["-c", `exec "$0" "$@" ${redirection}`, Deno.execPath(), "run", "-A", `${REPOSITORY}cli.ts`, ...args];
  return outcomeOf(await new Deno.Command("bash", { args: words, stdin: "null" }).output());
}

// A shell looks: the tests' own rights do not reach /dev.
const noFull = !(await new Deno.Command("sh", { args: ["-c", "test -c /dev/full"] }).output()).success;
if (noFull) console.log("skipped: there is no /dev/full, which takes nothing");

/** A test that needs a stream that takes nothing. */
function fullTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: noFull, fn });
}

for (const more of [[], ["--json"]]) {
  fullTest(`a stdout that is full ${more} is no_space 3 and named; the merge is complete`, async () => {
    const output = newPath();
    const { code, stderr } = await redirected("> /dev/full", mergeArgs(base, adapter, output, ...more));
    assertEquals([code, stderr.split("\n").length], [3, 2]);
    assertMatch(stderr, /^error: no_space: stdout: the disk is full; /);
    assertEquals(listFiles(output), ["config.json", "ether-merge.json", "model.safetensors"]);
  });
}

fullTest("a stdout that is full is no_space 3 for --help too", async () => {
  const { code, lastLine } = await redirected("> /dev/full", ["merge", "--help"]);
  assertEquals(code, 3);
  assertMatch(lastLine, /^error: no_space: stdout: /);
});

fullTest("an error keeps its code where stdout takes no document", async () => {
  const { code, lastLine } = await redirected("> /dev/full", ["inspect", "nowhere", "--json"]);
  assertEquals(code, 1);
  assertMatch(lastLine, /^error: not_found: nowhere: /);
});

fullTest("an error is one document and keeps its code where stderr takes nothing", async () => {
  const { code, stdout } = await redirected("2> /dev/full", ["inspect", "nowhere", "--json", "--debug"]);
  assertEquals([code, JSON.parse(stdout).error.code], [1, "not_found"]);
  const usage = await redirected("2> /dev/full", ["merge", "--bse", "x", "--json"]);
  assertEquals([usage.code, JSON.parse(usage.stdout).error.field], [2, "--bse"]);
});

fullTest("a stderr that takes nothing does not stop a merge", async () => {
  const { code, stdout } = await redirected("2> /dev/full", mergeArgs(base, adapter, newPath(), "--json", "-v"));
  assertEquals([code, JSON.parse(stdout).transformed], [0, 1]);
});

Deno.test("a table has room for more rows than a call has arguments", () => {
  const names = ["tensor", "dtype"];
  const rows = Array.from({ length: 300_000 }, (_, i) => [`model.layers.${i}.weight`, "BF16"]);
  assertStringIncludes(formatTable(names, rows, Infinity), "\nmodel.layers.299999.weight  BF16");
  assertEquals(fitRows(names, rows, 20).length, rows.length);
});

Deno.test("a terminal that reports no columns has the usual 80: the bar is whole", () => {
  const { consoleSize } = Deno;
  const { isTerminal, writeSync } = Deno.stderr;
  const { now } = performance;
  let [text, time] = ["", 0];
  Deno.consoleSize = () => ({ columns: 0, rows: 0 });
  Deno.stderr.isTerminal = () => true;
  Deno.stderr.writeSync = (bytes) => {
    text += new TextDecoder().decode(bytes);
    return bytes.byteLength;
  };
  performance.now = () => time += 1000;
  try {
    const line = new ProgressLine(false);
    for (const doneBytes of [0, 1e9]) line.update({ phase: "merge", doneBytes, totalBytes: 2e9 });
  } finally {
    Object.assign(Deno, { consoleSize });
    Object.assign(Deno.stderr, { isTerminal, writeSync });
    performance.now = now;
  }
  assertEquals(text, "\r[============            ] merging 50 %, 1.0 GB/s, 1.00 s left\x1b[K");
});
