/**
 * Models and adapters of any size for benchmarks: a Llama's matrices, bf16 by default, filled with random values that
 * are neither zero nor all alike, because hardware is faster on those.
 */
import type { FloatDtype } from "../runtime/safetensors/dtype.ts";
import { elementByteLength } from "../runtime/safetensors/dtype.ts";
import { encodeHeader, type TensorEntry } from "../runtime/safetensors/write.ts";

/** What to make. */
export interface SyntheticOptions {
  /** About so many bytes of weights. */
  readonly byteLength: number;
  readonly dtype: FloatDtype;
  /** Bytes of one shard at most. */
  readonly shardByteLength: number;
}

const HIDDEN = 4096;
const LAYER: readonly (readonly [name: string, shape: readonly [number, number]])[] = [
  ["self_attn.q_proj", [HIDDEN, HIDDEN]],
  ["self_attn.v_proj", [HIDDEN, HIDDEN]],
  ["mlp.up_proj", [11008, HIDDEN]],
  ["mlp.down_proj", [HIDDEN, 11008]],
];

/** Writes a sharded model and its config; returns the bytes of its shards. */
export async function writeModel(folder: string, options: SyntheticOptions): Promise<number> {
  const width = elementByteLength(options.dtype);
  const shards: TensorEntry[][] = [[]];
  let total = 0;
  let inShard = 0;
  for (let layer = 0; total < options.byteLength; layer++) {
    for (const [name, shape] of LAYER) {
      const byteLength = shape[0] * shape[1] * width;
      if (total >= options.byteLength) break;
      if (inShard > 0 && inShard + byteLength > options.shardByteLength) {
        shards.push([]);
        inShard = 0;
      }
      shards.at(-1)!.push({ name: `model.layers.${layer}.${name}.weight`, dtype: options.dtype, shape, byteLength });
      total += byteLength;
      inShard += byteLength;
    }
  }
  await Deno.mkdir(folder, { recursive: true });
  const weightMap: Record<string, string> = {};
  const values = randomWeights(options.dtype);
  for (const [i, tensors] of shards.entries()) {
    const number = (n: number) => String(n).padStart(5, "0");
    const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    for (const { name } of tensors) weightMap[name] = file;
    using shard = await Deno.open(`${folder}/${file}`, { write: true, create: true, truncate: true });
    await writeAll(shard, encodeHeader(tensors, new Map([["format", "pt"]])));
    for (const { byteLength } of tensors) {
      for (let done = 0; done < byteLength; done += values.byteLength) {
        await writeAll(shard, values.subarray(0, Math.min(values.byteLength, byteLength - done)));
      }
    }
  }
  const index = { metadata: { total_size: total }, weight_map: weightMap };
  await Deno.writeTextFile(`${folder}/model.safetensors.index.json`, JSON.stringify(index, null, 2));
  await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify({ model_type: "llama" }));
  return total;
}

/** What an adapter of a benchmark is. */
export interface SyntheticAdapter {
  readonly variant: "ether" | "etherplus";
  readonly sides: readonly ("in" | "out")[];
  readonly numBlocks: number;
}

/** Writes an adapter for every matrix of a model that {@link writeModel} wrote. */
export async function writeAdapter(folder: string, model: string, adapter: SyntheticAdapter): Promise<void> {
  const { weight_map } = JSON.parse(await Deno.readTextFile(`${model}/model.safetensors.index.json`));
  const tensors: TensorEntry[] = [];
  for (const name of Object.keys(weight_map as Record<string, string>)) {
    const module = name.slice(0, -".weight".length);
    const [rows, columns] = LAYER.find(([suffix]) => module.endsWith(suffix))![1];
    for (const side of adapter.sides) {
      const length = (side === "in" ? columns : rows) / adapter.numBlocks;
      for (const parameter of adapter.variant === "ether" ? ["u"] : ["u", "v"]) {
        tensors.push({
          name: `base_model.model.${module}.ether_${parameter}_${side}`,
          dtype: "F32",
          shape: [adapter.numBlocks, length],
          byteLength: 4 * adapter.numBlocks * length,
        });
      }
    }
  }
  await Deno.mkdir(folder, { recursive: true });
  const { variant, sides, numBlocks } = adapter;
  const config = { peft_type: "ETHER", variant, sides, num_blocks: numBlocks, layout: "paper" };
  await Deno.writeTextFile(`${folder}/adapter_config.json`, JSON.stringify(config));
  using file = await Deno.open(`${folder}/adapter_model.safetensors`, { write: true, create: true, truncate: true });
  await writeAll(file, encodeHeader(tensors, null));
  for (const { byteLength } of tensors) {
    await writeAll(
      file,
      new Uint8Array(Float32Array.from({ length: byteLength / 4 }, () => Math.random() - 0.5).buffer),
    );
  }
}

/** 8 MiB of values in (−0.1, 0.1). */
function randomWeights(dtype: FloatDtype): Uint8Array {
  const count = (8 << 20) / elementByteLength(dtype);
  const values = Float32Array.from({ length: count }, () => (Math.random() - 0.5) / 5);
  if (dtype === "F32") return new Uint8Array(values.buffer);
  if (dtype === "F16") return new Uint8Array(Float16Array.from(values).buffer);
  const bits = new Uint32Array(values.buffer);
  return new Uint8Array(Uint16Array.from(bits, (pattern) => pattern >>> 16).buffer);
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) done += await file.write(bytes.subarray(done));
}
