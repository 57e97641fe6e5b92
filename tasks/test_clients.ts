/**
 * `deno task test:clients [flags of deno test]`: the tests with Hugging Face's own packages of npm.
 *
 * The packages have an import map and a lock of their own, as every task of this repository would load them otherwise.
 * Where they cannot be had, the reason is said, one test counts as skipped, and that is no failure.
 */
import { countsLine, countTests, type TestRun } from "./test.ts";

const FOLDER = "tests/clients";
const CONFIG = `${FOLDER}/deno.json`;

/** Runs them. */
export async function countClientTests(args: readonly string[]): Promise<TestRun> {
  const problem = await loadPackages();
  if (problem !== undefined) {
    console.log(`the tests of ${FOLDER} are skipped: ${problem}`);
    return { code: 0, counts: { passed: 0, failed: 0, skipped: 1 } };
  }
  // A package for images loads a library of its own, whether or not there is an image.
  return await countTests(["--config", CONFIG, "--allow-ffi", FOLDER, ...args]);
}

/** Why the packages cannot be used; undefined if they can. */
async function loadPackages(): Promise<string | undefined> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["install", "--config", CONFIG, "--frozen"],
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  if (success) return undefined;
  return new TextDecoder().decode(stderr).split("\n").findLast((line) => line.includes("error")) ??
    "deno install failed";
}

if (import.meta.main) {
  const { code, counts } = await countClientTests(Deno.args);
  console.log(countsLine(counts));
  Deno.exit(code);
}
