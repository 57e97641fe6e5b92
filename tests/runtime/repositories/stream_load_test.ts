import { assertEquals } from "@std/assert";
import { MANY_STREAMS_TILE_BYTES, TILE_BYTES } from "../../../runtime/repositories/limits.ts";
import { StreamLoad } from "../../../runtime/repositories/stream_load.ts";

Deno.test("StreamLoad: pieces are small while there are more than sixteen streams", () => {
  const load = new StreamLoad();
  const leave = Array.from({ length: 16 }, () => load.enter());
  assertEquals([load.count, load.tileByteLength], [16, TILE_BYTES]);
  const leaveLast = load.enter();
  assertEquals([load.count, load.tileByteLength], [17, MANY_STREAMS_TILE_BYTES]);
  // A stream that is closed twice has left once.
  leaveLast();
  leaveLast();
  assertEquals([load.count, load.tileByteLength], [16, TILE_BYTES]);
  for (const one of leave) one();
  assertEquals(load.count, 0);
});
