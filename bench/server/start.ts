/** From the start of the process to the first merged range, over a bare Deno server's first answer. */
import type { ServerFixture } from "./fixture.ts";
import { plainCommand, serveCommand, startServer } from "./process.ts";

/** Starts each server anew in turn; prints the smallest times. */
export async function benchStart({ folder, shard, recipes }: ServerFixture, rounds: number): Promise<void> {
  let bare = Infinity;
  let merged = Infinity;
  for (let round = 0; round < rounds; round++) {
    bare = Math.min(bare, await firstRange(plainCommand(`${folder}/models/base/${shard}`), "/"));
    const command = serveCommand(`${folder}/models`, `${folder}/adapters`);
    merged = Math.min(merged, await firstRange(command, `/base/resolve/${recipes[0]}/${shard}`));
  }
  console.log(
    `\nstart to first range: bare ${bare.toFixed(0)} ms, merged ${merged.toFixed(0)} ms: ${
      (merged - bare).toFixed(0)
    } ms more`,
  );
}

async function firstRange(command: readonly string[], path: string): Promise<number> {
  await using server = await startServer(command);
  const connected = performance.now();
  for (;;) {
    const response = await fetch(server.url + path, { headers: { range: "bytes=1000000-1065535" } });
    const { byteLength } = await response.bytes();
    if (response.status === 206 && byteLength === 65_536) return server.startMs + performance.now() - connected;
    if (response.status !== 429) throw new Error(`${path}: ${response.status}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
