import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { assertDone, assertRefused, mergeArgs, run } from "./command_line.ts";
import {
  ADAPTER_TENSORS,
  addFiles,
  BASE_TENSORS,
  listFiles,
  type MadeTensor,
  makeAdapter,
  makeBase,
  makeFolder,
  makeShardedBase,
  newPath,
  tensorFile,
} from "./made_files.ts";

/** Targets in three dtypes and two shards; one holds every special value. */
const special = new Uint16Array(8 * 8).map((_, i) =>
  [0x7fc0, 0xffff, 0x7f80, 0xff80, 0x8000, 0, 1, 0x3f80 + i][i % 8]!
);
const tensors: Record<string, MadeTensor> = {
  ...BASE_TENSORS,
  "model.layers.0.self_attn.q_proj.weight": { dtype: "BF16", shape: [8, 8], bytes: new Uint8Array(special.buffer) },
};
const shards = [Object.entries(tensors).slice(0, 3), Object.entries(tensors).slice(3)];
const NAMES = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
const base = makeShardedBase(
  Object.fromEntries(shards.map((shard, i) => [NAMES[i]!, tensorFile(Object.fromEntries(shard))])),
);
const adapter = makeAdapter({ per_tensor_sides: true, sides: ["in", "out"] }, {
  "base_model.model.model.layers.0.self_attn.q_proj.ether_u_out": { dtype: "F32", shape: [2, 4] },
  "base_model.model.model.layers.0.mlp.up_proj.ether_u_in": { dtype: "F32", shape: [2, 4] },
  "base_model.model.model.layers.0.mlp.down_proj.ether_u_in": { dtype: "BF16", shape: [2, 6] },
});
const chained = makeAdapter({ strength: 0.7 }, ADAPTER_TENSORS);
const CHAIN = ["--adapter", chained];

interface Merged {
  readonly output: string;
  readonly receipt: string;
  readonly stdout: string;
}

async function mergeWithReceipt(...more: string[]): Promise<Merged> {
  const output = newPath("merged");
  const outcome = await run(mergeArgs(base, adapter, output, "--receipt", ...more));
  assertDone(outcome);
  return { output, receipt: `${output}.receipt.safetensors`, stdout: outcome.stdout };
}

function unmergeArgs({ output, receipt }: Merged, out: string, ...more: string[]): string[] {
  return ["unmerge", ...mergeArgs(output, adapter, out, "--receipt", receipt, ...more).slice(1)];
}

function namesBeside(path: string): string[] {
  return [...Deno.readDirSync(path.replace(/\/[^/]*$/, ""))].map(({ name }) => name).sort();
}

function assertSameFiles(folder: string, expected: string): void {
  assertEquals(listFiles(folder).filter((path) => path !== "ether-merge.json"), listFiles(expected));
  for (const path of listFiles(expected)) {
    assertEquals(Deno.readFileSync(`${folder}/${path}`), Deno.readFileSync(`${expected}/${path}`), path);
  }
}

const shared = await mergeWithReceipt(...CHAIN);

Deno.test("merge --receipt, unmerge --receipt: every file of the base comes back, to the bit", async () => {
  const out = newPath("out");
  const outcome = await run(unmergeArgs(shared, out, ...CHAIN, "--original", base));
  assertDone(outcome);
  assertStringIncludes(outcome.stdout, "equal to the base to the bit");
  assertStringIncludes(outcome.stdout, "\n0 of 523 elements (0.00 %) differ");
  assertEquals(outcome.stderr.includes("up to the roundings"), false);
  assertSameFiles(out, base);
});

Deno.test("merge --receipt: says what it takes, and leaves nothing else beside the output", async () => {
  assertMatch(
    shared.stdout,
    /\nreceipt .*merged\.receipt\.safetensors: [\d.]+ k?B, [\d.]+ % of the merged tensors, for \d+ of 256 elements\n$/,
  );
  assertEquals(namesBeside(shared.output), ["merged", "merged.receipt.safetensors"]);
  const { stdout, receipt } = await mergeWithReceipt("--json");
  const document = JSON.parse(stdout).receipt;
  assertEquals([document.path, document.bytes, document.elements], [receipt, Deno.statSync(receipt).size, 256]);
  assertEquals(document.target_bytes, 8 * 8 * 2 + 12 * 8 * 4 + 8 * 12 * 2);
});

Deno.test("merge --receipt=FILE, --workers and --max-memory: the same bytes elsewhere", async () => {
  const expected = Deno.readFileSync(shared.receipt);
  for (const more of [["--workers", "1"], ["--workers", "3", "--max-memory", "8M"]]) {
    const [output, file] = [newPath("out"), `${newPath("made")}/r.safetensors`];
    assertDone(await run(mergeArgs(base, adapter, output, ...CHAIN, `--receipt=${file}`, ...more)));
    assertEquals(Deno.readFileSync(file), expected);
    assertEquals([namesBeside(output), namesBeside(file)], [["out"], ["r.safetensors"]]);
  }
});

Deno.test("merge --receipt of a single file, and of an adapter that changes nothing", async () => {
  const file = `${makeFolder({ "one.safetensors": tensorFile(BASE_TENSORS) })}/one.safetensors`;
  for (const strength of ["1", "0"]) {
    const output = newPath("merged");
    const flags = ["--strength", strength, "--receipt"];
    assertDone(await run(mergeArgs(file, adapter, output, ...flags)));
    const out = newPath("out");
    const merged = { output: `${output}/one.safetensors`, receipt: `${output}.receipt.safetensors`, stdout: "" };
    assertDone(await run(unmergeArgs(merged, out, "--strength", strength)));
    assertEquals(Deno.readFileSync(`${out}/one.safetensors`), Deno.readFileSync(file));
  }
});

const CLASHES: readonly (readonly [command: string, flags: readonly string[], field: string])[] = [
  ["merge", ["--dtype", "f32"], "--dtype f32"],
  ["merge", ["--untie"], "--untie"],
  ["unmerge", ["--dtype", "bf16"], "--dtype bf16"],
];

for (const [command, flags, field] of CLASHES) {
  Deno.test(`${command} --receipt with ${field}: wrong usage`, async () => {
    const args = mergeArgs(base, adapter, newPath("out"), `--receipt=${newPath("r")}`, ...flags).slice(1);
    assertRefused(await run([command, ...args]), 2, new RegExp(`^error: usage: ${field}: not together with --receipt`));
  });
}

Deno.test("merge --receipt: a place that is taken, and one within an input or the output", async () => {
  const [text, older] = [newPath("text"), newPath("older")];
  Deno.writeTextFileSync(text, "years of work");
  Deno.copyFileSync(shared.receipt, older);
  for (const [receipt, more, code] of [[text, [], 1], [text, ["--force"], 1], [older, [], 1]] as const) {
    const outcome = await run(mergeArgs(base, adapter, newPath("out"), `--receipt=${receipt}`, ...more));
    assertRefused(outcome, code, /^error: exists: .*(the receipt exists|is no receipt)/);
  }
  assertEquals(Deno.readTextFileSync(text), "years of work");
  assertDone(await run(mergeArgs(base, adapter, newPath("out"), `--receipt=${older}`, "--force")));
  assert(Deno.statSync(older).size !== Deno.statSync(shared.receipt).size, "of another merge");
  assertEquals(namesBeside(older), ["older"]);
  const output = newPath("out");
  for (
    const receipt of [`${base}/r`, `${adapter}/r`, output, `${output}/r`, `${output}.partial`, `${output}.ether-lock`]
  ) {
    const outcome = await run(mergeArgs(base, adapter, output, `--receipt=${receipt}`));
    assertRefused(
      outcome,
      2,
      /^error: usage: .*--receipt: the receipt (is|lies in|contains) (the base|an adapter|the output)/,
    );
  }
});

Deno.test("merge --receipt: an interrupted run's pieces are no obstacle, and an older receipt set aside comes back", async () => {
  const output = newPath("out");
  const receipt = `${output}.receipt.safetensors`;
  Deno.writeTextFileSync(`${receipt}.ether-partial`, "ether-edge: unfinished receipt\nhalf");
  Deno.writeTextFileSync(`${receipt}.ether-lock`, "");
  Deno.copyFileSync(shared.receipt, `${receipt}.ether-replaced`);
  assertRefused(await run(mergeArgs(base, adapter, output, "--receipt")), 1, /^error: exists: .*the receipt exists/);
  assertEquals(Deno.readFileSync(receipt), Deno.readFileSync(shared.receipt));
  assertDone(await run(mergeArgs(base, adapter, output, ...CHAIN, "--receipt", "--force")));
  assertEquals(namesBeside(output), ["out", "out.receipt.safetensors"]);
});

for (const suffix of ["ether-partial", "ether-replaced", "ether-lock"]) {
  Deno.test(`merge --receipt: a file of the user's named .${suffix} is refused and stays`, async () => {
    const receipt = newPath("r");
    Deno.writeTextFileSync(`${receipt}.${suffix}`, "years of work");
    for (const more of [[], ["--force"]]) {
      const outcome = await run(mergeArgs(base, adapter, newPath("out"), `--receipt=${receipt}`, ...more));
      assertRefused(outcome, 1, new RegExp(`^error: exists: .*r: r.${suffix} is in the way`));
    }
    assertEquals(Deno.readTextFileSync(`${receipt}.${suffix}`), "years of work");
    assertEquals(namesBeside(receipt), [`r.${suffix}`]);
  });
}

Deno.test("merge --receipt: files named as other programs name theirs stay", async () => {
  const receipt = newPath("r.safetensors");
  for (const suffix of ["partial", "lock", "replaced"]) Deno.writeTextFileSync(`${receipt}.${suffix}`, "work");
  assertDone(await run(mergeArgs(base, adapter, newPath("out"), `--receipt=${receipt}`)));
  for (const suffix of ["partial", "lock", "replaced"]) {
    assertEquals(Deno.readTextFileSync(`${receipt}.${suffix}`), "work");
  }
});

const MISMATCHES: readonly (readonly [name: string, args: (out: string) => Promise<string[]>, line: RegExp])[] = [
  ["without one of the adapters", (out) => args(shared, out), /base_mismatch: .*the receipt is of adapters sha256/],
  [
    "at another strength",
    (out) => args(shared, out, ...CHAIN, "--strength", "0.9"),
    /base_mismatch: .* at 0\.9.*; give the adapters/,
  ],
  [
    "of a model of other files",
    (out) => args({ ...shared, output: makeBase() }, out, ...CHAIN),
    /base_mismatch: .*weight files are not/,
  ],
  [
    "of the base itself",
    (out) => args({ ...shared, output: base }, out, ...CHAIN),
    /base_mismatch: .*has digest sha256-tree1m:\w+, the receipt belongs to/,
  ],
  [
    "that is no receipt",
    (out) => args({ ...shared, receipt: `${base}/${NAMES[0]}` }, out, ...CHAIN),
    /bad_config: .*is no receipt of a merge/,
  ],
  ["that is not there", (out) => args({ ...shared, receipt: "/nowhere" }, out, ...CHAIN), /not_found: /],
  [
    "of another engine",
    (out) => args(edited("engine", '"1"', '"2"'), out, ...CHAIN),
    /unsupported: .*engine is 2, this is 1/,
  ],
  ["that is no JSON", (out) => args(edited("base", '"[{', '"[['), out, ...CHAIN), /bad_config: /],
  [
    "whose residuals are damaged",
    (out) => args(flipped(-6), out, ...CHAIN),
    /verify_failed: .*came out as sha256-tree1m:\w+, the base was/,
  ],
];

// deno-lint-ignore require-await
async function args(merged: Merged, out: string, ...more: string[]): Promise<string[]> {
  return unmergeArgs(merged, out, ...more);
}

/** The receipt with a field of its metadata changed; lengths stay. */
function edited(field: string, from: string, to: string): Merged {
  const bytes = Deno.readFileSync(shared.receipt);
  const headerLength = 8 + new DataView(bytes.buffer).getUint32(0, true);
  const header = new TextDecoder().decode(bytes.subarray(8, headerLength));
  assertStringIncludes(header, `"${field}":${from}`);
  bytes.set(new TextEncoder().encode(header.replace(`"${field}":${from}`, `"${field}":${to}`)), 8);
  return saved(bytes);
}

/** The receipt with one byte changed, counted from its end. */
function flipped(at: number): Merged {
  const bytes = Deno.readFileSync(shared.receipt);
  bytes[bytes.byteLength + at]! ^= 0x55;
  return saved(bytes);
}

function saved(bytes: Uint8Array): Merged {
  const folder = makeFolder({});
  addFiles(folder, { "r.safetensors": bytes });
  return { ...shared, receipt: `${folder}/r.safetensors` };
}

for (const [name, argsOf, line] of MISMATCHES) {
  Deno.test(`unmerge with a receipt ${name}: refused, and nothing is left`, async () => {
    const out = newPath("out");
    const outcome = await run(await argsOf(out));
    assertRefused(outcome, line.source.startsWith("verify_failed") ? 4 : 1, new RegExp(`^error: ${line.source}`));
    assertEquals(namesBeside(out), []);
  });
}

Deno.test("unmerge with a receipt whose table of blocks does not fit: refused", async () => {
  const bytes = Deno.readFileSync(shared.receipt);
  const view = new DataView(bytes.buffer);
  const headerLength = 8 + view.getUint32(0, true);
  for (const length of [0, 0xffffffff]) {
    view.setUint32(headerLength, length, true);
    const outcome = await run(unmergeArgs(saved(bytes), newPath("out"), ...CHAIN));
    assertRefused(outcome, 4, /^error: verify_failed: .*weight: the receipt's blocks do not fit the tensor/);
  }
});
