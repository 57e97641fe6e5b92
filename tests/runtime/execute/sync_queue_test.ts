import { assert, assertEquals, assertThrows } from "@std/assert";
import { SyncQueue } from "../../../runtime/execute/sync_queue.ts";

/** A sync that is ended by hand. */
function makeSync() {
  const open = new Map<string, PromiseWithResolvers<void>>();
  const begun: string[] = [];
  const sync = (path: string) => {
    begun.push(path);
    const ended = Promise.withResolvers<void>();
    open.set(path, ended);
    return ended.promise;
  };
  return { sync, open, begun };
}

Deno.test("SyncQueue syncs every file once, and never more than four at a time", async () => {
  const { sync, open, begun } = makeSync();
  const queue = new SyncQueue(sync);
  const paths = Array.from({ length: 10 }, (_, i) => `file-${i}`);
  for (const path of paths) queue.add(path);
  let most = 0;
  const settled = queue.settled();
  while (open.size > 0) {
    most = Math.max(most, open.size);
    const [path, ended] = [...open][0]!;
    open.delete(path);
    ended.resolve();
    await Promise.resolve();
    await Promise.resolve();
    await Promise.resolve();
  }
  await settled;
  assertEquals(begun, paths);
  assertEquals(most, 4);
  assert(queue.idle);
  queue.check();
});

Deno.test("SyncQueue keeps a failure that comes before anybody waits, and begins nothing after it", async () => {
  const begun: string[] = [];
  const queue = new SyncQueue((path) => {
    begun.push(path);
    return Promise.reject(new Error(`cannot sync ${path}`));
  });
  queue.add("first");
  // An unhandled rejection would end the process here.
  await new Promise((resolve) => setTimeout(resolve));
  queue.add("second");
  await queue.settled();
  assertThrows(() => queue.check(), Error, "cannot sync first");
  assertEquals(begun, ["first"]);
});
