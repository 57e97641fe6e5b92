/** Many clients at once: 200 range requests and 20 whole merged downloads; what the server's memory came to. */
import type { ServerFixture } from "./fixture.ts";
import { serveCommand, startServer } from "./process.ts";

/** Clients that read as fast as they can, and some that do not. */
export async function benchCrowd({ folder, shard, size, recipes }: ServerFixture): Promise<void> {
  await using ours = await startServer(serveCommand(`${folder}/models`, `${folder}/adapters`));
  const urls = recipes.map((revision) => `${ours.url}/base/resolve/${revision}/${shard}`);
  const atRest = ours.peakBytes();
  let refused = 0;
  /** As a client of the Hub does: 429 means later. */
  const ask = async (url: string, range: string | null): Promise<number> => {
    for (;;) {
      const response = await fetch(url, range === null ? {} : { headers: { range } });
      if (response.status === 429) {
        refused++;
        await response.body?.cancel();
        await new Promise((resolve) => setTimeout(resolve, 1000 * Number(response.headers.get("retry-after"))));
        continue;
      }
      if (!response.ok) throw new Error(`${url}: ${response.status}`);
      let bytes = 0;
      for await (const part of response.body!) bytes += part.byteLength;
      return bytes;
    }
  };
  const ranges = Array.from({ length: 200 }, (_, i) => {
    const start = Math.floor((i + 0.5) / 200 * (size - 10_000_000));
    return ask(urls[i % urls.length]!, `bytes=${start}-${start + 9_999_999}`);
  });
  const wholes = Array.from({ length: 20 }, (_, i) => ask(urls[i % urls.length]!, null));
  const bytes = (await Promise.all([...ranges, ...wholes])).reduce((sum, count) => sum + count, 0);
  const peak = ours.peakBytes();
  console.log(
    `\n200 ranges of 10 MB and 20 whole files of ${(size / 1e9).toFixed(2)} GB at once: ${
      (bytes / 1e9).toFixed(1)
    } GB, ` +
      `${refused} times asked to come back, peak memory ${mega(peak)} (${mega(atRest)} before the first request)`,
  );
}

const mega = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
