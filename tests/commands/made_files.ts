/** Small models and adapters, made on the spot in a temporary folder that goes when a test file has run. */
import { DTYPE_BITS } from "../../runtime/safetensors/dtype.ts";

/** A file's content; an object becomes JSON. */
export type Content = string | Uint8Array | Readonly<Record<string, unknown>>;

/** One tensor; its bytes come from its shape where none are given: finite, never zero, the same each time. */
export interface MadeTensor {
  readonly dtype: keyof typeof DTYPE_BITS;
  readonly shape: readonly number[];
  readonly bytes?: Uint8Array;
}

let root: string | undefined;
let folderCount = 0;

Deno.test.afterAll(() => {
  if (root !== undefined) Deno.removeSync(root, { recursive: true });
});

/** A path in this test file's temporary folder, at which there is nothing. */
export function newPath(name = "folder"): string {
  root ??= Deno.realPathSync(Deno.makeTempDirSync({ prefix: "ether-edge-test-" }));
  const parent = `${root}/${folderCount++}`;
  Deno.mkdirSync(parent);
  return `${parent}/${name}`;
}

/** Writes files, with their folders, into a new folder. */
export function makeFolder(files: Readonly<Record<string, Content>>, name?: string): string {
  const folder = newPath(name);
  Deno.mkdirSync(folder);
  addFiles(folder, files);
  return folder;
}

/** Writes files into a folder. */
export function addFiles(folder: string, files: Readonly<Record<string, Content>>): void {
  for (const [path, content] of Object.entries(files)) {
    Deno.mkdirSync(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    if (content instanceof Uint8Array) Deno.writeFileSync(`${folder}/${path}`, content);
    else Deno.writeTextFileSync(`${folder}/${path}`, typeof content === "string" ? content : JSON.stringify(content));
  }
}

/** The bytes of a safetensors file, tensors in the order given; the header is not padded, so that data lies anywhere. */
export function tensorFile(
  tensors: Readonly<Record<string, MadeTensor>>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const header: Record<string, unknown> = Object.create(null);
  if (metadata !== undefined) header.__metadata__ = metadata;
  const data = Object.entries(tensors).map(([name, { dtype, shape, bytes }], index) => {
    return { name, dtype, shape, bytes: bytes ?? madeBytes(dtype, shape, index) };
  });
  let end = 0;
  for (const { name, dtype, shape, bytes } of data) {
    header[name] = { dtype, shape, data_offsets: [end, end += bytes.byteLength] };
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + json.byteLength + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.byteLength), true);
  file.set(json, 8);
  let offset = 8 + json.byteLength;
  for (const { bytes } of data) {
    file.set(bytes, offset);
    offset += bytes.byteLength;
  }
  return file;
}

function madeBytes(dtype: MadeTensor["dtype"], shape: readonly number[], seed: number): Uint8Array {
  const count = shape.reduce((product, size) => product * size, 1);
  const value = (i: number) => ((i * 37 + seed * 11) % 29 + 1) / 16;
  if (dtype === "F32") return new Uint8Array(Float32Array.from({ length: count }, (_, i) => value(i)).buffer);
  if (dtype === "F16") return new Uint8Array(Float16Array.from({ length: count }, (_, i) => value(i)).buffer);
  if (dtype !== "BF16") return new Uint8Array(count * DTYPE_BITS[dtype] / 8).fill(seed + 1);
  const halves = new Uint16Array(Float32Array.from({ length: count }, (_, i) => value(i)).buffer);
  return new Uint8Array(halves.filter((_, i) => i % 2 === 1).buffer);
}

/** The tensors of {@link makeBase}: three to target, the rest not. */
export const BASE_TENSORS = {
  "model.embed_tokens.weight": { dtype: "BF16", shape: [16, 8] },
  "model.layers.0.self_attn.q_proj.weight": { dtype: "BF16", shape: [8, 8] },
  "model.layers.0.mlp.up_proj.weight": { dtype: "F32", shape: [12, 8] },
  "model.layers.0.mlp.down_proj.weight": { dtype: "F16", shape: [8, 12] },
  "model.norm.weight": { dtype: "F32", shape: [8] },
  "model.position_ids": { dtype: "I64", shape: [3] },
  "lm_head.weight": { dtype: "BF16", shape: [16, 8] },
} as const satisfies Record<string, MadeTensor>;

/** A model of one `model.safetensors` beside its config. */
export function makeBase(more: Readonly<Record<string, Content>> = {}): string {
  const files = { "config.json": { model_type: "llama" }, "model.safetensors": tensorFile(BASE_TENSORS) };
  return makeFolder({ ...files, ...more }, "base");
}

/** A model of two shards with an index. */
export function makeShardedBase(more: Readonly<Record<string, Content>> = {}): string {
  const tensors = Object.entries<MadeTensor>(BASE_TENSORS);
  const shards = [tensors.slice(0, 3), tensors.slice(3)];
  const names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  const weightMap = shards.flatMap((shard, i) => shard.map(([name]) => [name, names[i]!]));
  const files: Record<string, Content> = {
    "config.json": { model_type: "llama", torch_dtype: "bfloat16", tie_word_embeddings: false },
    "model.safetensors.index.json": { metadata: { total_size: 1 }, weight_map: Object.fromEntries(weightMap) },
  };
  for (const [i, shard] of shards.entries()) {
    files[names[i]!] = tensorFile(Object.fromEntries(shard), { format: "pt", shard: `${i}` });
  }
  return makeFolder({ ...files, ...more }, "base");
}

/** The adapter tensors of {@link makeAdapter}: the input side of `up_proj` in two blocks. */
export const ADAPTER_TENSORS = {
  "base_model.model.model.layers.0.mlp.up_proj.ether_u_in": { dtype: "F32", shape: [2, 4] },
} as const satisfies Record<string, MadeTensor>;

/** A valid config, with fields replaced; `undefined` removes one. */
export function etherConfig(fields: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { peft_type: "ETHER", variant: "ether", sides: ["in"], num_blocks: 2, layout: "paper", ...fields };
}

/** An adapter folder. */
export function makeAdapter(
  fields: Readonly<Record<string, unknown>> = {},
  tensors: Readonly<Record<string, MadeTensor>> = ADAPTER_TENSORS,
): string {
  const files = { "adapter_config.json": etherConfig(fields), "adapter_model.safetensors": tensorFile(tensors) };
  return makeFolder(files, "adapter");
}

/** Names of all files below a folder, sorted. */
export function listFiles(folder: string): string[] {
  const paths: string[] = [];
  const collect = (relative: string) => {
    for (const entry of Deno.readDirSync(`${folder}/${relative}`)) {
      if (entry.isDirectory) collect(`${relative}${entry.name}/`);
      else paths.push(relative + entry.name);
    }
  };
  collect("");
  return paths.sort();
}
