/**
 * The server against a plain one: whole streams, ranges, a crowd of clients, and the start.
 *
 * `deno task bench server [--size 2G] [--rounds 5] [--folder /tmp/...]`
 */
import { parseArgs } from "node:util";
import { parseSize } from "../commands/units.ts";
import { benchCrowd } from "./server/crowd.ts";
import { makeServerFixture } from "./server/fixture.ts";
import { benchRanges } from "./server/ranges.ts";
import { benchStart } from "./server/start.ts";
import { benchStreams } from "./server/streams.ts";

/** Places at which a range is asked for. */
const RANGES = 100;

/** Makes a model and runs all four. */
export async function benchServer(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      size: { type: "string", default: "2G" },
      rounds: { type: "string", default: "5" },
      folder: { type: "string" },
    },
  });
  const folder = values.folder ?? await Deno.makeTempDir({ prefix: "ether-edge-bench-" });
  const rounds = Number(values.rounds);
  try {
    const fixture = await makeServerFixture(folder, parseSize(values.size, "--size"));
    await benchStreams(fixture, rounds);
    await benchRanges(fixture, RANGES);
    await benchCrowd(fixture);
    await benchStart(fixture, rounds);
  } finally {
    if (values.folder === undefined) await Deno.remove(folder, { recursive: true });
  }
}
