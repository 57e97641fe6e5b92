/** Whole downloads, merged and plain, by curl: seconds, as ratios to the plain stream of the same file. */
import { formatTable } from "../../commands/table.ts";
import { plainCommand, serveCommand, startServer } from "./process.ts";
import type { ServerFixture } from "./fixture.ts";

/** Rotates the contenders and prints the smallest time of each. */
export async function benchStreams({ folder, shard, size, recipes }: ServerFixture, rounds: number): Promise<void> {
  await using plain = await startServer(plainCommand(`${folder}/models/base/${shard}`));
  await using ours = await startServer(serveCommand(`${folder}/models`, `${folder}/adapters`));
  const contenders = [
    { name: "plain stream of the file", url: plain.url },
    ...["main", ...recipes].map((revision) => ({
      name: revision,
      url: `${ours.url}/base/resolve/${revision}/${shard}`,
    })),
  ];
  const least = contenders.map(() => Infinity);
  for (let round = -1; round < rounds; round++) {
    for (let i = 0; i < contenders.length; i++) {
      const which = (i + Math.max(0, round)) % contenders.length;
      const seconds = await download(contenders[which]!.url, size);
      if (round >= 0) least[which] = Math.min(least[which]!, seconds);
    }
  }
  console.log(`\nwhole file of ${(size / 1e9).toFixed(2)} GB by curl, ${rounds} rounds, smallest times`);
  const rows = contenders.map(({ name }, i) => {
    return [
      name,
      `${least[i]!.toFixed(2)} s`,
      `${(size / least[i]! / 1e9).toFixed(2)} GB/s`,
      (least[0]! / least[i]!).toFixed(2),
    ];
  });
  console.log(formatTable(["", "time", "rate", "of the plain stream"], rows, Infinity));
}

async function download(url: string, size: number): Promise<number> {
  const args = ["-sSfL", "-o", "/dev/null", "-w", "%{size_download} %{time_total}", url];
  const { stdout, stderr, success } = await new Deno.Command("curl", { args }).output();
  const [bytes, seconds] = new TextDecoder().decode(stdout).split(" ").map(Number);
  if (!success || bytes !== size) throw new Error(`${url}: ${bytes} bytes, ${new TextDecoder().decode(stderr)}`);
  return seconds!;
}
