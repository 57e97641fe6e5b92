/** The authors' own checkpoints, end to end: converted, merged directly, and held against what their code made of them. */
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { decodeFloat64 } from "../../fixtures/decode.ts";
import { readTensorFile } from "../../fixtures/tensor_file.ts";
import { openPlace } from "../../runtime/deno/file_folder.ts";
import { openFileSource } from "../../runtime/deno/file_source.ts";
import { fileStorage, mergeToFolder } from "../../runtime/deno/merge_folder.ts";
import { prepareMerge } from "../../runtime/plans/prepare_merge.ts";
import type { FloatDtype } from "../../runtime/safetensors/dtype.ts";
import { readStateDict } from "../../runtime/torch/state_dict.ts";
import { assertDone, run } from "../commands/command_line.ts";
import { newPath } from "../commands/made_files.ts";
import { readGolden } from "./cases.ts";
import { assertWithinTolerance, compareTensor } from "./compare.ts";

const ROOT = fileURLToPath(new URL("../../fixtures/golden/ether/lit", import.meta.url));

/** What `case.json` says that a comparison needs. */
interface LitCase {
  readonly adapter_pth: string;
  readonly targets: readonly string[];
  readonly n_head: number;
  readonly n_query_groups: number;
}

const names = [...Deno.readDirSync(ROOT)].filter(({ isDirectory }) => isDirectory).map(({ name }) => name).sort();

for (const name of names) {
  const folder = `${ROOT}/${name}`;
  const description = JSON.parse(Deno.readTextFileSync(`${folder}/case.json`)) as LitCase;
  const checkpoint = `${folder}/${description.adapter_pth}`;

  Deno.test(`lit ${name}: convert gives the golden adapter, tensor for tensor and field for field`, async () => {
    const places = {
      "lit_config.json one folder up": [],
      "a base and no need of it": ["--base", `${folder}/base.safetensors`],
      "a config that is named": ["--config", `${folder}/lit_config.json`],
    };
    for (const [what, flags] of Object.entries(places)) {
      const output = newPath("adapter");
      assertDone(await run(["convert", "--checkpoint", checkpoint, "--output", output, ...flags]));
      const golden = await readTensorFile(`${folder}/adapter.safetensors`);
      const converted = await readTensorFile(`${output}/adapter_model.safetensors`);
      assertEquals(new Map([...converted].sort()), new Map([...golden].sort()), what);
      assertEquals(readJson(`${output}/adapter_config.json`), readJson(`${folder}/adapter_config.json`), what);
    }
  });

  Deno.test(`lit ${name}: merged directly, with one thread or several, as merged from the converted folder`, async () => {
    const output = newPath("adapter");
    assertDone(await run(["convert", "--checkpoint", checkpoint, "--output", output]));
    const converted = await mergedBytes(folder, output, 1);
    const training = checkpoint.slice(0, checkpoint.lastIndexOf("/"));
    for (const [adapter, workers] of [[checkpoint, 1], [checkpoint, 3], [training, 1]] as const) {
      assertEquals(await mergedBytes(folder, adapter, workers), converted, `${adapter} with ${workers}`);
    }
  });

  Deno.test(`lit ${name}: merged within the tolerance, the rest byte for byte`, async () => {
    const { base, targets } = await readGolden({ name, folder, targets: description.targets });
    const path = await mergeTo(folder, checkpoint, 1);
    for (const [tensor, { bytes }] of await readTensorFile(path)) {
      const target = targets.get(tensor);
      if (target === undefined) assertEquals(bytes, base.get(tensor)!.bytes, tensor);
      else assertWithinTolerance(`${name}: ${tensor}`, compareTensor(bytes, target));
    }
  });

  Deno.test(`lit ${name}: merged to f32, it is what the authors' module made, to f32's rounding`, async () => {
    const ours = await readTensorFile(await mergeTo(folder, checkpoint, 1, "F32"));
    const theirs = await authorsTensors(`${folder}/lit_model.merged.pth`, description);
    assertEquals([...theirs.keys()].sort(), [...ours.keys()].sort());
    for (const [tensor, stored] of ours) {
      const mine = decodeFloat64(stored);
      const other = theirs.get(tensor)!;
      assertEquals(mine.length, other.length, tensor);
      const isTarget = description.targets.includes(tensor);
      const worst = mine.reduce((most, value, i) => Math.max(most, Math.abs(value - other[i]!)), 0);
      assert(isTarget ? worst < 5e-7 : worst === 0, `${tensor} is off by ${worst}`);
    }
  });
}

async function mergeTo(folder: string, adapter: string, workers: number, dtype?: FloatDtype): Promise<string> {
  const output = newPath("merged");
  const base = await openPlace(`${folder}/base.safetensors`);
  const { plan } = await prepareMerge({ base, adapters: [{ place: await openPlace(adapter) }], dtype }, fileStorage);
  await mergeToFolder(plan, output, { workers });
  return `${output}/base.safetensors`;
}

async function mergedBytes(folder: string, adapter: string, workers: number): Promise<Uint8Array> {
  return await Deno.readFile(await mergeTo(folder, adapter, workers));
}

function readJson(path: string): unknown {
  return JSON.parse(Deno.readTextFileSync(path));
}

/** The authors' merged model, read by our own reader, under Hugging Face names. */
async function authorsTensors(path: string, { n_head, n_query_groups }: LitCase): Promise<Map<string, Float64Array>> {
  const source = openFileSource(path);
  const tensors = new Map<string, Float64Array>();
  try {
    for (const [name, { dtype, shape, offset, byteLength }] of await readStateDict(source)) {
      const bytes = new Uint8Array(byteLength);
      await source.read(offset, bytes);
      const values = decodeFloat64({ dtype, shape, bytes });
      const layer = name.replace(/^transformer\.h\.(\d+)\..*$/, "model.layers.$1");
      if (!name.endsWith(".attn.attn.weight")) {
        tensors.set(hfName(name, layer), values);
        continue;
      }
      // Per query group: its q heads, then k, then v.
      const columns = shape[1]!;
      const headRows = shape[0]! / (n_head + 2 * n_query_groups);
      const perGroup = n_head / n_query_groups;
      const parts = { q: [] as number[], k: [] as number[], v: [] as number[] };
      for (let row = 0; row < shape[0]!; row++) {
        const position = Math.floor(row / headRows) % (perGroup + 2);
        const part = position < perGroup ? "q" : position === perGroup ? "k" : "v";
        parts[part].push(...values.subarray(row * columns, (row + 1) * columns));
      }
      for (const [part, rows] of Object.entries(parts)) {
        tensors.set(`${layer}.self_attn.${part}_proj.weight`, Float64Array.from(rows));
      }
    }
  } finally {
    source.close();
  }
  return tensors;
}

function hfName(name: string, layer: string): string {
  const known: Record<string, string> = {
    "lm_head.weight": "lm_head.weight",
    "transformer.wte.weight": "model.embed_tokens.weight",
    "transformer.ln_f.weight": "model.norm.weight",
    norm_1: `${layer}.input_layernorm.weight`,
    norm_2: `${layer}.post_attention_layernorm.weight`,
    "attn.proj": `${layer}.self_attn.o_proj.weight`,
    "mlp.fc_1": `${layer}.mlp.gate_proj.weight`,
    "mlp.fc_2": `${layer}.mlp.up_proj.weight`,
    "mlp.proj": `${layer}.mlp.down_proj.weight`,
  };
  return known[name] ?? known[name.replace(/^transformer\.h\.\d+\.(.*)\.weight$/, "$1")]!;
}
