import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { structureFingerprint } from "../../runtime/adapters/fingerprint.ts";
import { openModel } from "../../runtime/deno/library.ts";
import { sha256Hex } from "../../runtime/io/digest.ts";
import { assertDone, assertRefused, mergeArgs, run } from "./command_line.ts";
import { ADAPTER_TENSORS, listFiles, makeAdapter, makeBase, makeFolder, newPath, tensorFile } from "./made_files.ts";

const base = makeBase();
const first = makeAdapter();
/** ETHER+ on both sides, in two dtypes. */
const second = makeAdapter({ variant: "etherplus", sides: ["in", "out"], strength: 0.8 }, {
  "base_model.model.model.layers.0.mlp.up_proj.ether_u_in": { dtype: "F32", shape: [2, 4] },
  "base_model.model.model.layers.0.mlp.up_proj.ether_v_in": { dtype: "F16", shape: [2, 4] },
  "base_model.model.model.layers.0.mlp.up_proj.ether_u_out": { dtype: "F32", shape: [2, 6] },
  "base_model.model.model.layers.0.mlp.up_proj.ether_v_out": { dtype: "F32", shape: [2, 6] },
});
const CHAIN = ["--adapter", second, "--strength", "1", "--strength", "-1"];

/** `unmerge` with its three paths, and more flags. */
function unmergeArgs(merged: string, adapter: string, output: string, ...more: string[]): string[] {
  return ["unmerge", ...mergeArgs(merged, adapter, output, ...more).slice(1)];
}

async function merged(...more: string[]): Promise<string> {
  const output = newPath("merged");
  assertDone(await run(mergeArgs(base, first, output, ...more)));
  return output;
}

/** The f32 target, and every byte around it. */
function targetOf(folder: string): { target: Float32Array; rest: Uint8Array } {
  const bytes = Deno.readFileSync(`${folder}/model.safetensors`);
  const headerLength = 8 + new DataView(bytes.buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, headerLength)));
  const [from, to] = header["model.layers.0.mlp.up_proj.weight"].data_offsets;
  const rest = bytes.slice();
  rest.fill(0, headerLength + from, headerLength + to);
  return { target: new Float32Array(bytes.slice(headerLength + from, headerLength + to).buffer), rest };
}

Deno.test("unmerge: adapters in the order of the merge are undone, and nothing else is touched", async () => {
  const output = newPath("out");
  const outcome = await run(unmergeArgs(await merged(...CHAIN), first, output, ...CHAIN, "--original", base));
  assertDone(outcome);
  assertMatch(
    outcome.stderr,
    /equals the base up to the roundings of merge and unmerge, which .* up to \d[\d.]+ times; a rec/,
  );
  assertMatch(outcome.stdout, /^unmerged 1 of 7 tensors of .*\n.*\n\d+ of 523 elements \([\d.]+ %\) differ from .*\n$/);
  assertEquals(listFiles(output), ["config.json", "ether-merge.json", "model.safetensors"]);
  const [before, after] = [targetOf(base), targetOf(output)];
  assertEquals(after.rest, before.rest);
  const differing = after.target.filter((x, i) => x !== before.target[i]);
  assertStringIncludes(outcome.stdout, `\n${differing.length} of 523 elements`);
  for (const [i, x] of after.target.entries()) assert(Math.abs(x - before.target[i]!) < 2e-6, `element ${i}`);
});

Deno.test("unmerge: the manifest says what was undone, and in which order; --json says where it is", async () => {
  const output = newPath("out");
  const source = await merged(...CHAIN);
  const { stdout, stderr } = await run(unmergeArgs(source, first, output, ...CHAIN, "--json", "--original", base));
  const { manifest, transformed, exact, original } = JSON.parse(stdout);
  assertEquals([manifest, transformed, exact], [`${output}/ether-merge.json`, 1, false]);
  assertEquals([original.elements, original.other_tensors], [523, 0]);
  assertEquals(stderr.includes("warning"), false, stderr);
  const { operation, adapters, tensors } = JSON.parse(Deno.readTextFileSync(manifest));
  assertEquals(operation, "unmerge");
  assertEquals(adapters.map(({ variant, strength }: Record<string, unknown>) => [variant, strength]), [
    ["etherplus", -0.8],
    ["ether", 1],
  ]);
  assertEquals(tensors[0].ops, ["etherplus:in+out undone", "ether:in undone"]);
  assertDone(await run(["verify", output]));
});

Deno.test("unmerge: another merge than the manifest's is undone, with a warning", async () => {
  const source = await merged();
  const outcome = await run(unmergeArgs(source, first, newPath("out"), "--strength", "0.9"));
  assertDone(outcome);
  assertMatch(
    outcome.stderr,
    /^warning: .*ether-merge\.json: merged were sha256:\w+ at 1; undone are sha256:\w+ at 0\.9$/m,
  );
  const again = newPath("out");
  assertDone(await run(unmergeArgs(source, first, again)));
  assertMatch((await run(unmergeArgs(again, first, newPath("out")))).stderr, /^warning: .* was unmerged already$/m);
});

Deno.test("unmerge: a base fingerprint's structure is checked, the bytes of its targets are not the base's", async () => {
  const wrong = makeAdapter({ base_fingerprint: { structure: "0".repeat(64) } });
  assertRefused(await run(unmergeArgs(base, wrong, newPath("out"))), 1, "base_mismatch");
  const bytes = Deno.readFileSync(`${base}/model.safetensors`);
  const info = (await openModel(base)).tensors.get("model.layers.0.mlp.up_proj.weight")![0]!.info;
  const sha256 = await sha256Hex(bytes.slice(info.offset, info.offset + info.byteLength));
  const structure = await structureFingerprint(await openModel(base));
  const adapter = makeAdapter({ base_fingerprint: { structure, targets: { [info.name]: sha256 } } });
  const output = newPath("merged");
  assertDone(await run(mergeArgs(base, adapter, output)));
  assertRefused(await run(mergeArgs(output, adapter, newPath("out"))), 1, "base_mismatch");
  assertDone(await run(unmergeArgs(output, adapter, newPath("out"))));
});

Deno.test("unmerge: strength 0 and untrained adapters give the merged model's bytes", async () => {
  const tensors = {
    "base_model.model.model.layers.0.mlp.up_proj.ether_u_in": { dtype: "F32", shape: [2, 4], bytes: f32(1) },
    "base_model.model.model.layers.0.mlp.up_proj.ether_v_in": { dtype: "F32", shape: [2, 4], bytes: f32(-1) },
  } as const;
  const untrained = makeAdapter({ variant: "etherplus" }, tensors);
  for (const [adapter, more] of [[first, ["--strength", "0"]], [untrained, []]] as const) {
    const output = newPath("out");
    assertDone(await run(unmergeArgs(base, adapter, output, ...more)));
    assertEquals(Deno.readFileSync(`${output}/model.safetensors`), Deno.readFileSync(`${base}/model.safetensors`));
  }
});

function f32(sign: number): Uint8Array {
  return new Uint8Array(Float32Array.from({ length: 8 }, (_, i) => sign * (i + 1)).buffer);
}

/** u and v of the first block are orthogonal. */
const orthogonal = makeAdapter({ variant: "etherplus" }, {
  ...ADAPTER_TENSORS,
  "base_model.model.model.layers.0.mlp.up_proj.ether_u_in": {
    ...{ dtype: "F32", shape: [2, 4] },
    bytes: new Uint8Array(Float32Array.of(1, 0, 0, 0, 1, 2, 3, 4).buffer),
  },
  "base_model.model.model.layers.0.mlp.up_proj.ether_v_in": {
    ...{ dtype: "F32", shape: [2, 4] },
    bytes: new Uint8Array(Float32Array.of(0, 2, 0, 0, 1, 2, 3, 5).buffer),
  },
});

Deno.test("unmerge: a merge without an inverse is refused with the tensor and the block, before anything is written", async () => {
  for (const [command, more] of [["unmerge", []], ["unmerge", ["--dry-run"]], ["merge", ["--receipt"]]] as const) {
    const output = newPath("out");
    const outcome = await run([command, ...mergeArgs(base, orthogonal, output, ...more).slice(1)]);
    assertRefused(
      outcome,
      1,
      /^error: singular: .*ether_u_in: it has no inverse.*model\.layers\.0\.mlp.*worst is block 0; /,
    );
    assertEquals([...Deno.readDirSync(output.replace(/\/out$/, ""))], []);
  }
  const near = await run(unmergeArgs(base, first, newPath("out"), "--strength", "0.502"));
  assertRefused(
    near,
    1,
    /^error: singular: .* would enlarge rounding errors in model\..* 250 times; at most 100 times is allowed without a/,
  );
});

Deno.test("unmerge says how much it enlarges roundings: the condition of what is undone, where it is no trifle", async () => {
  const near = await run(unmergeArgs(await merged("--strength", "0.51"), first, newPath("o"), "--strength", "0.51"));
  assertDone(near);
  assertMatch(near.stderr, /enlarges up to 50\.0 times; a receipt \(merge --receipt\) gives it back to the bit$/m);
  const plain = await run(unmergeArgs(await merged(), first, newPath("o")));
  assertDone(plain);
  assertMatch(plain.stderr, /up to the roundings of merge and unmerge; a receipt/);
});

Deno.test("unmerge of a single file: one shard of its name", async () => {
  const folder = makeFolder({ "some.safetensors": tensorFile({ "up_proj.weight": { dtype: "BF16", shape: [6, 8] } }) });
  const adapter = makeAdapter({}, { "base_model.model.up_proj.ether_u_in": { dtype: "F32", shape: [2, 4] } });
  const merge = newPath("merged");
  assertDone(await run(mergeArgs(`${folder}/some.safetensors`, adapter, merge)));
  const output = newPath("out");
  const more = ["--original", `${folder}/some.safetensors`];
  const outcome = await run(unmergeArgs(`${merge}/some.safetensors`, adapter, output, ...more));
  assertDone(outcome);
  assertMatch(outcome.stdout, /\n\d+ of 48 elements/);
  assertEquals(listFiles(output), ["ether-merge.json", "some.safetensors"]);
});

Deno.test("unmerge --original that is not there: refused before anything is written", async () => {
  const output = newPath("out");
  assertRefused(await run(unmergeArgs(base, first, output, "--original", "/nowhere")), 1, "not_found");
  assertEquals([...Deno.readDirSync(output.replace(/\/out$/, ""))], []);
});
