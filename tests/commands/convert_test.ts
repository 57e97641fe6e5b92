import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { readTensorFile } from "../../fixtures/tensor_file.ts";
import { makeOfficial } from "../runtime/adapters/official/official_model.ts";
import { assertDone, assertRefused, mergeArgs, run } from "./command_line.ts";
import { addFiles, listFiles, makeAdapter, makeBase, makeFolder, newPath } from "./made_files.ts";

const LLAMA = { family: "llama", type: "etherplus", numBlocks: 4, targets: "qvpm" } as const;
const TWO_FILES = ["adapter_config.json", "adapter_model.safetensors"];

const convert = (checkpoint: string, output: string, ...more: string[]) =>
  run(["convert", "--checkpoint", checkpoint, "--output", output, ...more]);

Deno.test("convert writes an adapter folder that merges to the same bytes as the checkpoint", async () => {
  const { base, checkpoint } = makeOfficial(LLAMA);
  const adapter = newPath("new/adapter");
  const outcome = await convert(checkpoint, adapter, "--base", base);
  assertDone(outcome);
  assertMatch(outcome.stdout, /^converted 24 tensors of .*\netherplus in 4 blocks, sides in, out, .*it fits /);
  assertEquals(listFiles(adapter), TWO_FILES);
  assertEquals([...Deno.readDirSync(`${adapter}/..`)].map(({ name }) => name), ["adapter"]);
  const [direct, converted] = [newPath("direct"), newPath("converted")];
  assertDone(await run(mergeArgs(base, checkpoint, direct)));
  assertDone(await run(mergeArgs(base, adapter, converted)));
  assertEquals(Deno.readFileSync(`${direct}/model.safetensors`), Deno.readFileSync(`${converted}/model.safetensors`));
  assertDone(await run(["verify", adapter, "--base", base]));
  assertDone(await run(["verify", checkpoint, "--base", base]));
});

Deno.test("convert --json prints one document", async () => {
  const { checkpoint } = makeOfficial(LLAMA);
  const output = newPath("adapter");
  const outcome = await convert(checkpoint, output, "--json");
  assertDone(outcome);
  const bytes = Deno.statSync(`${output}/adapter_model.safetensors`).size;
  assertEquals(JSON.parse(outcome.stdout), {
    ...{ output, peft_type: "ETHER", variant: "etherplus", sides: ["in", "out"], num_blocks: 4, layout: "reference" },
    ...{ tensors: 24, parameters: 416, bytes },
  });
});

Deno.test("convert and merge take --config where no lit_config.json is near", async () => {
  const { base, checkpoint, litConfig } = makeOfficial({ ...LLAMA, family: "gptNeox" });
  const elsewhere = makeFolder({ "mine.json": Deno.readTextFileSync(litConfig) });
  Deno.removeSync(litConfig);
  assertRefused(
    await convert(checkpoint, newPath("adapter")),
    1,
    /^error: not_found: .*no lit_config\.json .*--config/,
  );
  assertRefused(await run(mergeArgs(base, checkpoint, newPath("o"))), 1, /^error: bad_config: .*heads/);
  const config = ["--config", `${elsewhere}/mine.json`];
  assertDone(await convert(checkpoint, newPath("adapter"), ...config));
  assertDone(await run(mergeArgs(base, checkpoint, newPath("o"), ...config)));
  const refused = await run(mergeArgs(makeBase(), makeAdapter(), newPath("o"), ...config));
  assertRefused(refused, 2, /^error: usage: --config: no adapter is a \.pth checkpoint/);
  assertRefused(await convert(checkpoint, newPath("a"), "--config", "nowhere.json"), 1, "not_found");
});

Deno.test("inspect takes --config, for a checkpoint alone; one of training's steps is named where a folder has no other", async () => {
  const { base, checkpoint, litConfig } = makeOfficial({ ...LLAMA, family: "gptNeox" });
  const elsewhere = makeFolder({ "mine.json": Deno.readTextFileSync(litConfig) });
  Deno.removeSync(litConfig);
  assertRefused(await run(["inspect", checkpoint]), 1, /^error: not_found: .*no lit_config\.json .*--config/);
  for (const more of [[], ["--base", base]]) {
    assertDone(await run(["inspect", checkpoint, "--config", `${elsewhere}/mine.json`, ...more]));
  }
  const config = ["--config", `${elsewhere}/mine.json`];
  for (const path of [makeAdapter(), base]) {
    assertRefused(await run(["inspect", path, ...config]), 2, /^error: usage: .*--config: /);
  }
  const steps = checkpoint.replace(/[^/]*$/, "");
  Deno.renameSync(checkpoint, `${steps}/iter-000200-ckpt.pth`);
  Deno.copyFileSync(`${steps}/iter-000200-ckpt.pth`, `${steps}/iter-1000-ckpt.pth`);
  assertRefused(await run(mergeArgs(base, steps, newPath("o"))), 1, /iter-1000-ckpt\.pth .*name that file itself/);
  assertRefused(await convert(steps, newPath("o")), 1, /unsupported_format: .*such as iter-1000-ckpt\.pth/);
  assertRefused(await run(["inspect", steps]), 1, /unsupported_format: .*iter-\d+-ckpt\.pth; .*the file itself/);
  assertDone(await run(mergeArgs(base, `${steps}/iter-1000-ckpt.pth`, newPath("o"), ...config)));
});

Deno.test("convert with a tied base says that a merge needs --untie, and converts", async () => {
  const { base, checkpoint } = makeOfficial({ ...LLAMA, family: "gemma", targets: "qh" });
  const output = newPath("adapter");
  const outcome = await convert(checkpoint, output, "--base", base);
  assertDone(outcome);
  assertMatch(outcome.stderr, /^warning: .* shares its head with the input embedding: a merge needs --untie$/m);
  const tensors = await readTensorFile(`${output}/adapter_model.safetensors`);
  assertEquals(tensors.has("base_model.model.lm_head.ether_u_in"), true);
});

Deno.test("convert with another base refuses, and leaves nothing behind", async () => {
  const { checkpoint } = makeOfficial(LLAMA);
  const output = newPath("new/adapter");
  const parent = output.replace(/\/new\/adapter$/, "");
  assertRefused(await convert(checkpoint, output, "--base", makeBase()), 1, /^error: (bad_blocks|unknown_target): /);
  assertEquals([...Deno.readDirSync(parent)].map(({ name }) => name), []);
});

Deno.test("convert: an output that is there is refused; --force replaces an adapter's folder and nothing else", async () => {
  const { checkpoint } = makeOfficial(LLAMA);
  const output = newPath("adapter");
  assertDone(await convert(checkpoint, output));
  const first = Deno.readFileSync(`${output}/adapter_model.safetensors`);
  assertRefused(await convert(checkpoint, output), 1, /^error: exists: .*the output exists; --force/);
  const other = makeOfficial({ ...LLAMA, targets: "q" });
  assertDone(await convert(other.checkpoint, output, "--force"));
  assertEquals(listFiles(output), TWO_FILES);
  assertEquals(first.length > Deno.statSync(`${output}/adapter_model.safetensors`).size, true);
  addFiles(output, { "notes.txt": "mine" });
  assertRefused(await convert(checkpoint, output, "--force"), 1, /^error: exists: .*more than an adapter's folder/);
  assertEquals(Deno.readTextFileSync(`${output}/notes.txt`), "mine");
  assertDone(await convert(checkpoint, makeFolder({}), "--force"));
  assertEquals([...Deno.readDirSync(`${output}/..`)].map(({ name }) => name), ["adapter"]);
});

Deno.test("convert: what lies beside the output and no convert left is refused and stays", async () => {
  const { checkpoint } = makeOfficial(LLAMA);
  for (const suffix of ["partial", "ether-replaced"]) {
    const output = newPath("cv");
    Deno.mkdirSync(`${output}.${suffix}`);
    addFiles(`${output}.${suffix}`, { "thesis.tex": "years of work" });
    for (const more of [[], ["--force"]]) {
      const line = new RegExp(`^error: exists: .*cv: cv.${suffix} is in the way`);
      assertRefused(await convert(checkpoint, output, ...more), 1, line);
    }
    assertEquals(listFiles(output.replace(/\/cv$/, "")), [`cv.${suffix}/thesis.tex`]);
  }
});

Deno.test("convert: what an interrupted run left is cleared, and an older adapter set aside comes back", async () => {
  const { checkpoint } = makeOfficial(LLAMA);
  const output = newPath("cv");
  for (const suffix of ["partial", "ether-replaced"]) Deno.mkdirSync(`${output}.${suffix}`);
  addFiles(`${output}.partial`, { ".ether-partial": "", "adapter_model.safetensors": "half" });
  addFiles(`${output}.ether-replaced`, { "adapter_config.json": "{}" });
  assertRefused(await convert(checkpoint, output), 1, /^error: exists: .*the output exists/);
  assertEquals(listFiles(output), ["adapter_config.json"]);
  // A crash after the new one was in its place.
  Deno.mkdirSync(`${output}.ether-replaced`);
  addFiles(`${output}.ether-replaced`, { "adapter_config.json": "{}" });
  assertDone(await convert(checkpoint, output, "--force"));
  assertEquals(listFiles(output.replace(/\/cv$/, "")), TWO_FILES.map((file) => `cv/${file}`));
});

Deno.test("convert: an output that is, holds or lies in an input is refused", async () => {
  const { base, checkpoint } = makeOfficial(LLAMA);
  const training = checkpoint.slice(0, checkpoint.lastIndexOf("/"));
  for (const output of [training, `${training}/..`]) {
    assertRefused(await convert(training, output, "--force"), 2, /^error: usage: .*--output: .*checkpoint/);
  }
  assertRefused(await convert(training, `${base}/adapter`, "--base", base), 2, /--output: .*the base/);
  assertDone(await convert(checkpoint, `${training}/adapter`));
});

Deno.test("convert refuses what is no official checkpoint", async () => {
  assertRefused(
    await convert(makeAdapter(), newPath("o")),
    1,
    /^error: unsupported_format: .*not an official checkpoint/,
  );
  assertRefused(await convert(newPath("nowhere"), newPath("o")), 1, "not_found");
  const broken = makeFolder({ "x.pth": "no", "lit_config.json": "{}" });
  assertRefused(await convert(`${broken}/x.pth`, newPath("o")), 1, "bad_config");
  const { litConfig } = makeOfficial(LLAMA);
  const outcome = await convert(`${broken}/x.pth`, newPath("o"), "--config", litConfig);
  assertRefused(outcome, 1, /^error: bad_pickle: .*x\.pth: the file is no zip archive/);
});

Deno.test("convert --to comes later; --checkpoint and --output are needed", async () => {
  for (const args of [["--adapter", "a", "--to", "lora", "--output", "o"], ["--to", "hra"], ["--adapter", "a"]]) {
    assertRefused(await run(["convert", ...args]), 2, /^error: usage: --to: .*not supported yet/);
  }
  assertRefused(await run(["convert", "--output", "o"]), 2, /^error: usage: --checkpoint: /);
  assertRefused(await run(["convert", "--checkpoint", "c"]), 2, /^error: usage: --output: /);
});

Deno.test("convert --help names its flags, and no later ones", async () => {
  const { stdout } = await run(["convert", "--help"]);
  for (const flag of ["--checkpoint", "--config", "--base", "--output", "--force", "--json"]) {
    assertStringIncludes(stdout, flag);
  }
  assertEquals(stdout.includes("--to"), false);
});
