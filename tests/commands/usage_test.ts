import { assertEquals, assertStringIncludes } from "@std/assert";
import { assertDone, assertRefused, mergeArgs, run } from "./command_line.ts";
import { addFiles, makeAdapter, makeBase, newPath } from "./made_files.ts";

const base = makeBase();
const adapter = makeAdapter();
const two = ["--adapter", adapter];

/** Wrong requests, and what the line on stderr must say. */
const CASES: readonly (readonly [name: string, args: readonly string[], line: RegExp])[] = [
  ["a flag that is missing", ["merge", "--base", base, "--adapter", adapter], /^error: usage: --output: .*required/],
  ["a flag without its value", ["merge", "--base"], /^error: usage: --base: .*argument missing/],
  ["an unknown flag before a missing one", ["merge", "--bse", base], /^error: usage: --bse: unknown option/],
  ["a word too many", [...mergeArgs(base, adapter, "o"), "extra"], /^error: usage: too many arguments/],
  ["two strengths for one adapter", flags("--strength", "1", "--strength", "2"), /--strength: given 2 times for 1 ad/],
  ["a strength for two of three", flags(...two, ...two, "--strength", "1", "--strength", "2"), /given 2 times for 3/],
  ["a strength that is no number", flags("--strength", "strong"), /^error: usage: --strength: "strong" is not a fin/],
  ["an infinite strength", flags("--strength", "1e999"), /--strength: "1e999" is not a finite number/],
  ["a hexadecimal strength", flags("--strength", "0x10"), /--strength: "0x10" is not a finite number/],
  ["a strength too large for f32", flags("--strength", "3e38"), /^error: usage: --strength: .*effective strength/],
  ["no workers", flags("--workers", "0"), /^error: usage: --workers: .* from 1 to 256/],
  ["more workers than there may be", flags("--workers", "257"), /^error: usage: --workers: .* from 1 to 256/],
  ["half a worker", flags("--workers", "1.5"), /^error: usage: --workers: /],
  ["a size without a number", flags("--max-memory", "much"), /--max-memory: "much" is not a size; such as 64M/],
  ["a size of nothing", flags("--max-memory", "0"), /--max-memory: "0" is not a size/],
  ["too little memory", flags("--max-memory", "1K"), /--max-memory: 1024 bytes are too few: .* need \d+; allow more/],
  ["a dtype that is not offered", flags("--dtype", "f64"), /^error: usage: --dtype: .*keep, f32, f16, bf16/],
  ["an empty path", ["merge", "--base", "", "--adapter", adapter, "--output", "o"], /^error: usage: --base: /],
  ["sidecars for an adapter", ["inspect", adapter, "--sha256"], /^error: usage: --sha256: only a model/],
  ["a base given twice", flags("--base", base), /^error: usage: --base: given more than once; give it once$/],
  ["an output given twice", flags("--output=p"), /^error: usage: --output: given more than once/],
  ["a dtype given twice", flags("--dtype", "f32", "--dtype", "f16"), /^error: usage: --dtype: given more than once/],
  ["workers given twice", flags("--workers", "1", "--workers", "1"), /^error: usage: --workers: given more than/],
  ["a size given twice", flags("--max-memory", "64M", "--max-memory", "64M"), /^error: usage: --max-memory: given/],
  ["a base for a model", ["inspect", base, "--base", base], /^error: usage: .*--base: is a model, not an adapter/],
];

function flags(...more: string[]): string[] {
  return mergeArgs(base, adapter, "o", ...more);
}

for (const [name, args, line] of CASES) {
  Deno.test(`${name} is wrong usage: exit 2, one clear line, nothing written`, async () => {
    const folder = newPath();
    Deno.mkdirSync(folder);
    assertRefused(await run(args, { cwd: folder }), 2, line);
    assertEquals([...Deno.readDirSync(folder)], []);
  });
}

const STRENGTHS: readonly (readonly [name: string, more: readonly string[], strengths: readonly number[]])[] = [
  ["none", [...two], [1, 1]],
  ["one for all", [...two, "--strength", "0.5"], [0.5, 0.5]],
  ["one for each, in order", [...two, "--strength", "0.5", "--strength", "2"], [0.5, 2]],
  ["a negative one", ["--strength", "-0.25"], [-0.25]],
  ["one with an exponent", ["--strength=1e-3"], [0.001]],
];

for (const [name, more, strengths] of STRENGTHS) {
  Deno.test(`--strength: ${name}: the manifest has what was applied`, async () => {
    const output = newPath();
    assertDone(await run(mergeArgs(base, adapter, output, ...more)));
    const { adapters } = JSON.parse(Deno.readTextFileSync(`${output}/ether-merge.json`));
    assertEquals(adapters.map(({ strength }: { strength: number }) => strength), strengths);
  });
}

Deno.test("the strength of the config multiplies --strength", async () => {
  const output = newPath();
  assertDone(await run(mergeArgs(base, makeAdapter({ strength: 0.5 }), output, "--strength", "0.5")));
  const { adapters } = JSON.parse(Deno.readTextFileSync(`${output}/ether-merge.json`));
  assertEquals(adapters[0].strength, 0.25);
});

Deno.test("--max-memory within bounds gives the same bytes", async () => {
  const [free, bounded] = [newPath(), newPath()];
  assertDone(await run(mergeArgs(base, adapter, free)));
  assertDone(await run(mergeArgs(base, adapter, bounded, "--max-memory", "4M", "--workers", "1")));
  assertEquals(Deno.readFileSync(`${bounded}/model.safetensors`), Deno.readFileSync(`${free}/model.safetensors`));
});

Deno.test("--debug shows a stack above the error line, and only then", async () => {
  const broken = makeAdapter();
  addFiles(broken, { "adapter_config.json": "{" });
  const plain = await run(mergeArgs(base, broken, newPath()));
  assertRefused(plain, 1, "bad_config");
  const debug = await run(mergeArgs(base, broken, newPath(), "--debug"));
  assertEquals([debug.code, debug.lastLine], [1, plain.lastLine]);
  assertStringIncludes(debug.stderr, "\n    at ");
});
