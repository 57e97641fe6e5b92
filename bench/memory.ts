/**
 * Peak resident memory of the merge command for models of 0.5 GB and 4 GB: it must not depend on the size.
 *
 * `deno task bench memory [--folder /tmp/...]`
 */
import { parseArgs } from "node:util";
import { formatTable } from "../commands/table.ts";
import { mergeCommand, run } from "./merge.ts";
import { writeAdapter, writeModel } from "./synthetic_model.ts";

const SIZES = [0.5e9, 4e9];

/** Merges each size with one and with two workers, and prints the peaks. */
export async function benchMemory(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { folder: { type: "string" } } });
  const folder = values.folder ?? await Deno.makeTempDir({ prefix: "ether-edge-bench-" });
  try {
    const rows: string[][] = [];
    for (const size of SIZES) rows.push(...await peaksFor(folder, size));
    console.log(formatTable(["model", "adapter", "1 worker", "2 workers"], rows, Infinity));
  } finally {
    if (values.folder === undefined) await Deno.remove(folder, { recursive: true });
  }
}

async function peaksFor(folder: string, size: number): Promise<string[][]> {
  const base = `${folder}/base-${size}`;
  await writeModel(base, { byteLength: size, dtype: "BF16", shardByteLength: 2e9 });
  const rows: string[][] = [];
  for (const [variant, sides, numBlocks] of [["ether", ["in"], 32], ["etherplus", ["in", "out"], 1]] as const) {
    const adapter = `${folder}/adapter`;
    await writeAdapter(adapter, base, { variant, sides, numBlocks });
    const row = [`${(size / 1e9).toFixed(1)} GB`, `${variant} ${sides.join("+")}, ${numBlocks} blocks`];
    for (const workers of ["1", "2"]) {
      const output = `${folder}/output`;
      const { peakBytes } = await run([
        ...mergeCommand(),
        ...["--base", base, "--adapter", adapter, "--output", output, "--workers", workers, "-q"],
      ]);
      await Deno.remove(output, { recursive: true });
      row.push(`${(peakBytes / 1e6).toFixed(0)} MB`);
    }
    rows.push(row);
    await Deno.remove(adapter, { recursive: true });
  }
  await Deno.remove(base, { recursive: true });
  return rows;
}

if (import.meta.main) await benchMemory(Deno.args);
