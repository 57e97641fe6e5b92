import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { assertDone, assertRefused, mergeArgs, run, type Running, start } from "./command_line.ts";
import { addFiles, listFiles, makeAdapter, makeBase, makeFolder, newPath } from "./made_files.ts";

/** Rows and columns of the only tensor, bf16: 2 GiB, which are a hole in the file and take no room. */
const SIZE = 32_768;

/** A model that takes any machine long enough to be stopped in the middle. */
function makeLargeBase(): string {
  const header = `{"big.weight":{"dtype":"BF16","shape":[${SIZE},${SIZE}],"data_offsets":[0,${2 * SIZE * SIZE}]}}`;
  const start = new Uint8Array(8 + header.length);
  new DataView(start.buffer).setBigUint64(0, BigInt(header.length), true);
  start.set(new TextEncoder().encode(header), 8);
  const folder = makeFolder({ "model.safetensors": start }, "base");
  Deno.truncateSync(`${folder}/model.safetensors`, start.byteLength + 2 * SIZE * SIZE);
  return folder;
}

const large = makeLargeBase();
const inSide = makeAdapter({}, { "base_model.model.big.ether_u_in": { dtype: "F32", shape: [2, SIZE / 2] } });
const outSide = makeAdapter({ sides: ["out"], num_blocks: 1 }, {
  "base_model.model.big.ether_u_out": { dtype: "F32", shape: [1, SIZE] },
});

/** Resolves when a merge into `output` has begun to write. */
async function writing(output: string, { outcome }: Running): Promise<void> {
  let ended = false;
  outcome.then(() => ended = true);
  while (!ended) {
    if (await Deno.stat(`${output}.partial/model.safetensors`).then(() => true, () => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`ended before it wrote: ${(await outcome).stderr}`);
}

/** Resolves when a process has read some megabytes: more than its own program. */
async function reading({ pid, outcome }: Running): Promise<void> {
  const readBytes = () => {
    // A process of its own: what lies in /proc is not for one with the rights of these tests.
    const { stdout } = new Deno.Command("cat", { args: [`/proc/${pid}/io`] }).outputSync();
    return Number(/^rchar: (\d+)/.exec(new TextDecoder().decode(stdout))?.[1]);
  };
  while (readBytes() < 200e6) {
    const ended = await Promise.race([outcome, new Promise<null>((resolve) => setTimeout(() => resolve(null), 5))]);
    if (ended !== null) throw new Error(`ended before it read: ${ended.stderr}`);
  }
}

const SIDES = { "the input side": inSide, "one block of the output side, read twice": outSide };

for (const [side, adapter] of Object.entries(SIDES)) {
  for (const workers of ["1", "2"]) {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      if (signal === "SIGTERM" && adapter === outSide) continue;
      Deno.test(`${signal} during ${side} with --workers ${workers}: exit 130, nothing left`, async () => {
        const folder = newPath();
        Deno.mkdirSync(folder);
        const output = `${folder}/new/parents/out`;
        const merge = start(mergeArgs(large, adapter, output, "--workers", workers));
        await writing(output, merge);
        merge.kill(signal);
        assertRefused(await merge.outcome, 130, /^error: interrupted: stopped; nothing is left behind$/);
        assertEquals([...Deno.readDirSync(folder)], []);
      });
    }
  }
}

Deno.test("SIGINT with --force leaves the older output in its place", async () => {
  const output = makeFolder({ "ether-merge.json": "{}", "old": "old" }, "out");
  const merge = start(mergeArgs(large, inSide, output, "--force", "--json"));
  await writing(output, merge);
  merge.kill("SIGINT");
  const { code, stdout } = await merge.outcome;
  assertEquals([code, JSON.parse(stdout).error.code], [130, "interrupted"]);
  assertEquals(listFiles(output), ["ether-merge.json", "old"]);
  assertEquals([...Deno.readDirSync(output.replace("/out", ""))].length, 1);
});

Deno.test("while a merge runs a second one into the same output is locked, and does not disturb it", async () => {
  const output = newPath("out");
  const merge = start(mergeArgs(large, inSide, output));
  await writing(output, merge);
  assertRefused(await run(mergeArgs(makeBase(), makeAdapter(), output)), 1, "locked");
  assert(Deno.statSync(`${output}.partial/model.safetensors`).isFile);
  merge.kill("SIGINT");
  assertEquals((await merge.outcome).code, 130);
  assertDone(await run(mergeArgs(makeBase(), makeAdapter(), output)));
});

Deno.test("a merge that was killed leaves O.partial and no lock; the next run clears it and says so", async () => {
  const output = newPath("out");
  const merge = start(mergeArgs(large, inSide, output));
  await writing(output, merge);
  merge.kill("SIGKILL");
  await merge.outcome;
  assert(Deno.statSync(`${output}.partial`).isDirectory);
  const next = await run(mergeArgs(makeBase(), makeAdapter(), output));
  assertDone(next);
  assertStringIncludes(next.stderr, `removed ${output}.partial, which an interrupted run left`);
  assertEquals([...Deno.readDirSync(output.replace("/out", ""))].map(({ name }) => name), ["out"]);
});

const noProc = Deno.build.os !== "linux";
if (noProc) console.log("skipped: only Linux tells in /proc what a process has read");

Deno.test({ name: "SIGINT while verify reads: exit 130, in its own words", ignore: noProc }, async () => {
  const folder = makeFolder({ "model.safetensors": "" }, "merged");
  Deno.truncateSync(`${folder}/model.safetensors`, 4 * SIZE * SIZE);
  const digest = `sha256-tree1m:${"0".repeat(64)}`;
  const outputs = [{ path: "model.safetensors", size: 4 * SIZE * SIZE, digest }];
  addFiles(folder, { "ether-merge.json": { version: 1, outputs } });
  for (const workers of ["1", "2"]) {
    const verify = start(["verify", folder, "--workers", workers]);
    await reading(verify);
    verify.kill("SIGINT");
    assertRefused(await verify.outcome, 130, /^error: interrupted: stopped by a signal$/);
  }
});

Deno.test("progress without a terminal is whole lines, and none for a merge that is quick", async () => {
  const { stderr } = await run(mergeArgs(makeBase(), makeAdapter(), newPath()));
  assertEquals(stderr, "");
});
