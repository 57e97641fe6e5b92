/** A range of 1 MB deep in a large file, merged and plain, over one connection: milliseconds and their ratio. */
import { formatTable } from "../../commands/table.ts";
import type { ServerFixture } from "./fixture.ts";
import { plainCommand, serveCommand, startServer } from "./process.ts";

const RANGE_BYTES = 1_000_000;

/** Asks each server for the same places in turn; prints medians. */
export async function benchRanges({ folder, shard, size, recipes }: ServerFixture, count: number): Promise<void> {
  await using plain = await startServer(plainCommand(`${folder}/models/base/${shard}`));
  await using ours = await startServer(serveCommand(`${folder}/models`, `${folder}/adapters`));
  const contenders = [
    { name: "plain file", url: plain.url },
    ...["main", ...recipes].map((revision) => ({
      name: revision,
      url: `${ours.url}/base/resolve/${revision}/${shard}`,
    })),
  ];
  for (const contender of contenders) contender.url = await settle(contender.url);
  const times: number[][] = contenders.map(() => []);
  for (let i = 0; i < count; i++) {
    // Places spread over the last three quarters of the file, in no order.
    const start = Math.floor(size / 4 + (i * 0.618034 % 1) * (size * 3 / 4 - RANGE_BYTES));
    for (const [which, { url }] of contenders.entries()) {
      const started = performance.now();
      const response = await fetch(url, { headers: { range: `bytes=${start}-${start + RANGE_BYTES - 1}` } });
      const { byteLength } = await response.bytes();
      if (response.status !== 206 || byteLength !== RANGE_BYTES) throw new Error(`${url}: ${response.status}`);
      times[which]!.push(performance.now() - started);
    }
  }
  const middle = times.map((list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]!);
  const worst = times.map((list) => Math.max(...list));
  console.log(`\n1 MB ranges deep in a file of ${(size / 1e9).toFixed(2)} GB, ${count} places, medians`);
  const rows = contenders.map(({ name }, i) => {
    return [name, `${middle[i]!.toFixed(2)} ms`, (middle[i]! / middle[0]!).toFixed(2), `${worst[i]!.toFixed(1)} ms`];
  });
  console.log(formatTable(["", "median", "x plain", "slowest"], rows, Infinity));
}

/** The address behind the redirect to the commit. */
async function settle(url: string): Promise<string> {
  const response = await fetch(url, { headers: { range: "bytes=0-0" } });
  await response.body?.cancel();
  return response.url;
}
