/** The golden cases: what each folder of `fixtures/golden/ether` holds, ready to be merged and compared. */
import { fileURLToPath } from "node:url";
import type { ErrorCode } from "../../runtime/error.ts";
import type { FloatDtype } from "../../runtime/safetensors/dtype.ts";
import { decodeFloat64 } from "../../fixtures/decode.ts";
import { readTensorFile, type StoredTensors } from "../../fixtures/tensor_file.ts";
import type { Target } from "./compare.ts";

const ROOT = fileURLToPath(new URL("../../fixtures/golden/ether", import.meta.url));

/** An entry of `cases.json`. */
export interface GoldenCase {
  readonly name: string;
  /** The folder with `base.safetensors`, the adapter or adapters, and what is expected. */
  readonly folder: string;
  /** The names of its target tensors. */
  readonly targets: readonly string[];
  /** The code with which the merge must be refused. */
  readonly error?: ErrorCode;
}

/** What a case that must succeed is compared with. */
export interface GoldenTensors {
  readonly base: StoredTensors;
  readonly expected: StoredTensors;
  /** Each target by name. */
  readonly targets: ReadonlyMap<string, Target>;
}

/** Activations of one module: y = W'x + b. */
export interface GoldenActivation {
  /** F32 values, `[in, tokenCount]`. */
  readonly x: Float64Array;
  /** Exact values, `[out, tokenCount]`. */
  readonly y: Float64Array;
  readonly tokenCount: number;
}

/** Every case, in the order of `cases.json`. */
export const goldenCases: readonly GoldenCase[] = readCases();

function readCases(): GoldenCase[] {
  const { cases } = JSON.parse(Deno.readTextFileSync(`${ROOT}/cases.json`)) as { cases: Omit<GoldenCase, "folder">[] };
  return cases.map((entry) => ({ ...entry, folder: `${ROOT}/${entry.name}` }));
}

/** The adapter files of a case, in the order in which they are applied. */
export async function adapterPaths(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    if (/^adapter(\.\d+)?\.safetensors$/.test(entry.name)) names.push(entry.name);
  }
  return names.sort().map((name) => `${folder}/${name}`);
}

/** Reads the tensors of a case that must succeed. */
export async function readGolden(golden: GoldenCase): Promise<GoldenTensors> {
  const base = await readTensorFile(`${golden.folder}/base.safetensors`);
  const expected = await readTensorFile(`${golden.folder}/expected.safetensors`);
  const adapters: StoredTensors[] = [];
  for (const path of await adapterPaths(golden.folder)) adapters.push(await readTensorFile(path));
  const config = JSON.parse(await Deno.readTextFile(`${golden.folder}/adapter_config.json`)) as {
    fan_in_fan_out?: boolean;
  };
  const targets = new Map<string, Target>();
  for (const name of golden.targets) {
    const stored = base.get(name)!;
    targets.set(name, {
      dtype: floatDtype(stored.dtype),
      shape: [stored.shape[0]!, stored.shape[1]!],
      base: decodeFloat64(stored),
      exact: decodeFloat64(expected.get(`${name}.f64`)!),
      stages: adapters.length,
      fanInFanOut: config.fan_in_fan_out === true,
      ...blocksOf(name, adapters),
    });
  }
  return { base, expected, targets };
}

/** Reads the activations of a case by target tensor, or nothing where it has none. */
export async function readActivations(golden: GoldenCase): Promise<ReadonlyMap<string, GoldenActivation>> {
  const path = `${golden.folder}/act.safetensors`;
  const activations = new Map<string, GoldenActivation>();
  if (!(await exists(path))) return activations;
  const tensors = await readTensorFile(path);
  for (const name of golden.targets) {
    const x = tensors.get(`${name}.x`);
    const y = tensors.get(`${name}.y`);
    if (x === undefined || y === undefined) continue;
    activations.set(name, { x: decodeFloat64(x), y: decodeFloat64(y), tokenCount: x.shape[1]! });
  }
  return activations;
}

/** Which sides of a target the adapters transform, in how many blocks: their tensors decide, not the config. */
function blocksOf(target: string, adapters: StoredTensors[]): { inputBlocks: number; outputBlocks: number } {
  const module = `base_model.model.${target.replace(/\.weight$/, "")}.`;
  const blocks = { inputBlocks: 0, outputBlocks: 0 };
  for (const adapter of adapters) {
    for (const [name, tensor] of adapter) {
      if (!name.startsWith(module)) continue;
      const parts = /^(?:([qkv])\.)?ether_[uvR]_(in|out)$/.exec(name.slice(module.length));
      if (parts === null) continue;
      const side = parts[2] === "in" ? "inputBlocks" : "outputBlocks";
      // The bound of a fused matrix is taken over the whole column, as if it were one block.
      const count = parts[1] !== undefined && side === "outputBlocks" ? 1 : tensor.shape[0]!;
      blocks[side] = blocks[side] === 0 ? count : Math.min(blocks[side], count);
    }
  }
  return blocks;
}

function floatDtype(dtype: string): FloatDtype {
  if (dtype === "F32" || dtype === "F16" || dtype === "BF16") return dtype;
  throw new TypeError(`a target of dtype ${dtype}`);
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
