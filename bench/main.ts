/**
 * Every benchmark, or the ones that are named: `deno task bench [kernel] [merge] [memory] [server]`.
 *
 * Each prints ratios to something on the same machine in the same minute; times alone say little.
 */
import { benchKernel } from "./kernel.ts";
import { benchMemory } from "./memory.ts";
import { benchMerge } from "./merge.ts";
import { benchServer } from "./server.ts";

const BENCHES: Readonly<Record<string, (args: string[]) => void | Promise<void>>> = {
  kernel: benchKernel,
  merge: benchMerge,
  memory: benchMemory,
  server: benchServer,
};

const names = Deno.args.filter((arg) => arg in BENCHES);
const flags = Deno.args.filter((arg) => !(arg in BENCHES));
for (const name of names.length > 0 ? names : Object.keys(BENCHES)) {
  console.log(`\n== ${name}`);
  await BENCHES[name]!(names.length === 1 ? flags : []);
}
