/**
 * `deno task test:runtimes [flags of deno test]`: the core on every runtime, the bundles, the npm package and the
 * esbuild plugin.
 *
 * The packages that this takes have an import map and a lock of their own; Bun and workerd come from npm into a folder
 * of the user's cache, once for each pair of versions. A host that cannot be had is skipped, the reason is said, and
 * that is no failure.
 */
import { PACKAGES, PACKAGES_VARIABLE } from "../tests/runtimes/packages.ts";
import { countsLine, countTests, type TestRun } from "./test.ts";

const CONFIG = "tasks/bundle/deno.json";
const FOLDERS = ["tests/bundle", "tests/plugins", "tests/runtimes"];

/** Runs them. */
export async function countRuntimeTests(args: readonly string[]): Promise<TestRun> {
  const problem = await run(Deno.execPath(), ["install", "--config", CONFIG, "--frozen"]);
  if (problem !== null && problem.includes("lockfile")) {
    console.log(`${CONFIG}: ${problem}`);
    return { code: 1, counts: { passed: 0, failed: 1, skipped: 0 } };
  }
  if (problem !== null) {
    console.log(`the tests of ${FOLDERS.join(", ")} are skipped: ${problem}`);
    return { code: 0, counts: { passed: 0, failed: 0, skipped: FOLDERS.length } };
  }
  const packages = await installRuntimes();
  const variables = packages === null ? {} : { [PACKAGES_VARIABLE]: packages };
  return await countTests(["--config", CONFIG, ...FOLDERS, ...args], variables);
}

/** Where Bun and workerd are; null where npm cannot bring them. */
async function installRuntimes(): Promise<string | null> {
  const wanted = Object.entries(PACKAGES).map(([name, version]) => `${name}@${version}`);
  const folder = `${cacheFolder()}/ether-edge/${wanted.join("-")}`;
  // Written last: half an installation has none.
  const stamp = `${folder}/complete`;
  if (await Deno.stat(stamp).then(() => true, () => false)) return folder;
  await Deno.mkdir(folder, { recursive: true });
  console.error(`installing ${wanted.join(" and ")} into ${folder} (once)`);
  // Their executables are packages for each platform: no script has to run.
  const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--prefix", folder];
  const problem = await run("npm", ["install", ...flags, ...wanted]);
  if (problem === null) {
    await Deno.writeTextFile(stamp, "");
    return folder;
  }
  console.log(`Bun and workerd are skipped: ${problem}`);
  return null;
}

function cacheFolder(): string {
  return Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME") ?? "/tmp"}/.cache`;
}

/** Runs a command to its end; what it said last if it failed. */
async function run(command: string, args: readonly string[]): Promise<string | null> {
  try {
    const { success, stderr } = await new Deno.Command(command, {
      args: [...args],
      ...{ env: { NO_COLOR: "1" }, stdin: "null", stdout: "null" },
    }).output();
    if (success) return null;
    const lines = new TextDecoder().decode(stderr).trim().split("\n");
    return lines.find((line) => /error/i.test(line)) ?? lines.at(-1) ?? `${command} failed`;
  } catch (error) {
    return `${command} cannot be run: ${error instanceof Error ? error.message : error}`;
  }
}

if (import.meta.main) {
  const { code, counts } = await countRuntimeTests(Deno.args);
  console.log(countsLine(counts));
  Deno.exit(code);
}
