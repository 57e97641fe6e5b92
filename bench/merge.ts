/**
 * The merge command end to end, as processes, on a model of about 1 GB: against copying its folder and syncing the copy,
 * and against the same command at strength 0, which runs the same loop and digests without a kernel.
 *
 * `deno task bench merge [--size 1G] [--rounds 7] [--folder /tmp/...]`
 */
import { parseArgs } from "node:util";
import { parseSize } from "../commands/units.ts";
import { type SyntheticAdapter, writeAdapter, writeModel } from "./synthetic_model.ts";
import { formatTable } from "../commands/table.ts";
import denoJson from "../deno.json" with { type: "json" };

const CLI = new URL("../cli.ts", import.meta.url).pathname;

/** One way of making the output folder. */
interface Contender {
  readonly name: string;
  readonly command: (output: string) => readonly string[];
}

/** What the rounds of one contender gave. */
interface Measured {
  readonly name: string;
  readonly seconds: number[];
  peakBytes: number;
}

const ADAPTERS: Readonly<Record<string, SyntheticAdapter>> = {
  "ether in, 32 blocks": { variant: "ether", sides: ["in"], numBlocks: 32 },
  "ether out, 1 block": { variant: "ether", sides: ["out"], numBlocks: 1 },
  "etherplus in+out, 32 blocks": { variant: "etherplus", sides: ["in", "out"], numBlocks: 32 },
};

/** Runs the contenders in changing order and prints a table; the smallest time of each counts. */
export async function benchMerge(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      size: { type: "string", default: "1G" },
      rounds: { type: "string", default: "7" },
      folder: { type: "string" },
    },
  });
  const folder = values.folder ?? await Deno.makeTempDir({ prefix: "ether-edge-bench-" });
  try {
    await compareAll(folder, parseSize(values.size, "--size"), Number(values.rounds));
  } finally {
    if (values.folder === undefined) await Deno.remove(folder, { recursive: true });
  }
}

async function compareAll(folder: string, size: number, rounds: number): Promise<void> {
  const base = `${folder}/base`;
  const bytes = await writeModel(base, { byteLength: size, dtype: "BF16", shardByteLength: Math.ceil(size / 3) });
  for (const [name, adapter] of Object.entries(ADAPTERS)) await writeAdapter(`${folder}/${name}`, base, adapter);
  await run(["sync", "-f", base]);

  const results = await measure(folder, contenders(folder, base), rounds);
  const [copy, none] = results.map(({ seconds }) => Math.min(...seconds));
  console.log(
    `\n${(bytes / 1e9).toFixed(2)} GB of bf16 in 3 shards, ${rounds} rounds in changing order, smallest times`,
  );
  const rows = results.map(({ name, seconds, peakBytes }) => {
    const least = Math.min(...seconds);
    const rss = peakBytes === 0 ? "" : `${(peakBytes / 1e6).toFixed(0)} MB`;
    return [name, `${least.toFixed(2)} s`, (least / copy!).toFixed(2), (least / none!).toFixed(2), rss];
  });
  console.log(formatTable(["", "time", "x cp+sync", "x no kernel", "peak memory"], rows, Infinity));
}

function contenders(folder: string, base: string): Contender[] {
  const merge = (adapter: string, ...flags: string[]) => (output: string) => [
    ...mergeCommand(),
    ...["--base", base, "--adapter", `${folder}/${adapter}`, "--output", output, "-q", ...flags],
  ];
  const [input, output, both] = Object.keys(ADAPTERS) as [string, string, string];
  return [
    { name: "cp, then sync", command: (copy) => ["sh", "-c", `cp -r '${base}' '${copy}' && sync -d '${copy}'/*`] },
    { name: "no kernel (strength 0), 1 worker", command: merge(input, "--strength", "0", "--workers", "1") },
    { name: `${input}, 1 worker`, command: merge(input, "--workers", "1") },
    { name: `${input}, 2 workers`, command: merge(input, "--workers", "2") },
    { name: `${output}, 1 worker`, command: merge(output, "--workers", "1") },
    { name: `${output}, 2 workers`, command: merge(output, "--workers", "2") },
    { name: `${both}, 2 workers`, command: merge(both, "--workers", "2") },
    { name: `${input}, 2 workers, --sha256`, command: merge(input, "--workers", "2", "--sha256") },
  ];
}

/** What `deno task merge` runs, without the task runner: its own process would hide the memory of this one. */
export function mergeCommand(): string[] {
  const words = denoJson.tasks.merge.command.split(" ");
  return words.map((word) => word === "deno" ? Deno.execPath() : word === "cli.ts" ? CLI : word);
}

/** Times each contender once a round, after one round that does not count. */
async function measure(folder: string, contenders: readonly Contender[], rounds: number): Promise<Measured[]> {
  const results = contenders.map(({ name }): Measured => ({ name, seconds: [], peakBytes: 0 }));
  for (let round = -1; round < rounds; round++) {
    for (let i = 0; i < contenders.length; i++) {
      // Rotated, and every other round backwards: nobody always follows the same one, whose freed pages it gets.
      const place = round % 2 === 0 ? i : contenders.length - 1 - i;
      const which = (place + Math.max(0, round)) % contenders.length;
      const output = `${folder}/output`;
      const { seconds, peakBytes } = await run(contenders[which]!.command(output));
      await Deno.remove(output, { recursive: true });
      if (round === -1) continue;
      results[which]!.seconds.push(seconds);
      results[which]!.peakBytes = Math.max(results[which]!.peakBytes, peakBytes);
    }
  }
  return results;
}

/** Runs a command; its wall time, and the peak of its resident memory where it is Deno's. */
export async function run(command: readonly string[]): Promise<{ seconds: number; peakBytes: number }> {
  const started = performance.now();
  const child = new Deno.Command(command[0]!, { args: command.slice(1), stdout: "null", stderr: "inherit" }).spawn();
  let peakBytes = 0;
  let running = true;
  const watch = (async () => {
    while (running && command[0] === Deno.execPath()) {
      peakBytes = Math.max(peakBytes, await peakOf(child.pid));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  const { success, code } = await child.status;
  const seconds = (performance.now() - started) / 1000;
  running = false;
  await watch;
  if (!success) throw new Error(`${command.join(" ")} exited with ${code}`);
  return { seconds, peakBytes };
}

/** VmHWM, Linux's own high-water mark; 0 where the process has ended or the system has no such file. */
async function peakOf(pid: number): Promise<number> {
  try {
    const status = await Deno.readTextFile(`/proc/${pid}/status`);
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

if (import.meta.main) await benchMerge(Deno.args);
