/** From the start of the process to the first merged range, over a bare Deno server's first answer. */
import { entryCommand, plainCommand, serveCommand, startServer } from "./process.ts";
import type { ServerFixture } from "./fixture.ts";

/** Starts each server anew in turn; prints the smallest times. */
export async function benchStart({ folder, shard, recipes }: ServerFixture, rounds: number): Promise<void> {
  const [models, adapters] = [`${folder}/models`, `${folder}/adapters`];
  const path = `/base/resolve/${recipes[0]}/${shard}`;
  const least = { bare: Infinity, entry: Infinity, task: Infinity };
  for (let round = 0; round < rounds; round++) {
    const env = { ETHER_MODELS: models, ETHER_ADAPTERS: adapters };
    least.bare = Math.min(least.bare, await firstRange("/", plainCommand(`${models}/base/${shard}`)));
    least.entry = Math.min(least.entry, await firstRange(path, entryCommand(), env));
    least.task = Math.min(least.task, await firstRange(path, serveCommand(models, adapters)));
  }
  const { bare, entry, task } = least;
  const over = (milliseconds: number) => `${milliseconds.toFixed(0)} ms, ${(milliseconds - bare).toFixed(0)} ms more`;
  console.log(`\nstart to first merged range, over the ${bare.toFixed(0)} ms of a bare Deno server:`);
  console.log(`deno serve main.ts ${over(entry)}; deno task serve ${over(task)}`);
}

async function firstRange(path: string, command: readonly string[], env?: Record<string, string>): Promise<number> {
  await using server = await startServer(command, env);
  const connected = performance.now();
  for (;;) {
    const response = await fetch(server.url + path, { headers: { range: "bytes=1000000-1065535" } });
    const { byteLength } = await response.bytes();
    if (response.status === 206 && byteLength === 65_536) return server.startMs + performance.now() - connected;
    if (response.status !== 429) throw new Error(`${path}: ${response.status}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
