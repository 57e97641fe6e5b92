/**
 * `deno task test [paths or flags of deno test]`: every test that needs nothing but this repository,
 * every example of the documents and of mod.ts, and those with the packages of other clients (`deno task test:clients`).
 *
 * The last line is `N passed, N failed`, with `, N skipped` where some were.
 */
import { countClientTests } from "./test_clients.ts";

/** What the tests need: temporary files, servers on this machine, and the command line as a process of its own. */
const PERMISSIONS = [
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-sys",
  "--allow-run",
  "--allow-net=127.0.0.1,localhost",
];

/** What came of a run. */
export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** How a run ended. */
export interface TestRun {
  readonly code: number;
  readonly counts: TestCounts;
}

/**
 * Runs `deno test`, shows what it prints as it comes, and ends with the counts.
 *
 * @param args        paths and flags of `deno test`, beside the permissions
 * @param environment variables to add
 * @returns the exit code
 */
export async function runTests(args: readonly string[], environment: Record<string, string> = {}): Promise<number> {
  const { code, counts } = await countTests(args, environment);
  console.log(countsLine(counts));
  return code;
}

/** The same without the last line. */
export async function countTests(
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<TestRun> {
  const isTerminal = Deno.stdout.isTerminal();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", ...PERMISSIONS, ...args],
    env: isTerminal && !Deno.env.has("NO_COLOR") ? { ...environment, FORCE_COLOR: "1" } : environment,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();

  const decoder = new TextDecoder();
  let output = "";
  for await (const chunk of child.stdout) {
    await writeAll(chunk);
    output = (output + decoder.decode(chunk, { stream: true })).slice(-4096);
  }
  const { code } = await child.status;
  const counts = parseCounts(output);
  // Anything else that ends a run with an error, such as a type error, is a failure too.
  const failed = code !== 0 && counts.failed === 0 ? 1 : counts.failed;
  return { code: failed > 0 && code === 0 ? 1 : code, counts: { ...counts, failed } };
}

/** Several runs as one. */
export function sumRuns(runs: readonly TestRun[]): TestRun {
  const sum = (count: (counts: TestCounts) => number) => runs.reduce((total, { counts }) => total + count(counts), 0);
  return {
    code: runs.find(({ code }) => code !== 0)?.code ?? 0,
    counts: { passed: sum((one) => one.passed), failed: sum((one) => one.failed), skipped: sum((one) => one.skipped) },
  };
}

/** The line that ends a run. */
export function countsLine({ passed, failed, skipped }: TestCounts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/** Reads the summary `ok | 3 passed (2 steps) | 0 failed | 1 ignored (5ms)`: the last one, if there are several. */
export function parseCounts(output: string): TestCounts {
  // deno-lint-ignore no-control-regex -- colours
  const lines = output.replace(/\x1b\[[0-9;]*m/g, "").split("\n");
  const summary = lines.findLast((line) => /^(ok|FAILED) \| /.test(line)) ?? "";
  const count = (word: string) => Number(new RegExp(`\\| (\\d+) ${word}\\b`).exec(summary)?.[1] ?? 0);
  return { passed: count("passed"), failed: count("failed"), skipped: count("ignored") };
}

async function writeAll(bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) at += await Deno.stdout.write(bytes.subarray(at));
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** Folders with packages, and tasks, of their own. */
const OTHERS = ["python", "clients", "bundle", "plugins", "runtimes"].map((name) => `tests/${name}`);

/** Everything in `tests` but those with packages of their own. */
async function testFolders(): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir("tests"));
  return entries.map(({ name }) => `tests/${name}`)
    .filter((path) => !OTHERS.includes(path)).sort();
}

if (import.meta.main) {
  // A path among the arguments takes the place of all tests; flags and their values are passed on.
  const named = await Promise.all(Deno.args.map(exists));
  if (named.includes(true)) Deno.exit(await runTests(Deno.args));
  const own = await countTests(["--doc", "mod.ts", "README.md", "docs", ...await testFolders(), ...Deno.args]);
  const { code, counts } = sumRuns([own, await countClientTests(Deno.args)]);
  console.log(countsLine(counts));
  Deno.exit(code);
}
