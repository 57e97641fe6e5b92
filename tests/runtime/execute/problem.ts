/** A small base with one target, adapters for it, what the real path makes of them, and what it should. */
import { startDigest } from "../../../runtime/deno/digest.ts";
import { Engine } from "../../../runtime/execute/engine.ts";
import { TILE_BYTES } from "../../../runtime/execute/memory.ts";
import type { KnownSketch } from "../../../runtime/execute/task.ts";
import { loadKernel } from "../../../runtime/kernel/load.ts";
import type { Kernel } from "../../../runtime/kernel/kernel.ts";
import type { MergePlan, TensorSpan } from "../../../runtime/plans/plan.ts";
import { prepareMerge } from "../../../runtime/plans/prepare_merge.ts";
import { elementByteLength, type FloatDtype } from "../../../runtime/safetensors/dtype.ts";
import { encodeHeader } from "../../../runtime/safetensors/write.ts";
import { decodeFloat64 } from "../../../fixtures/decode.ts";
import { Random } from "../kernel/arbitrary.ts";
import { compareTensor, type Comparison, type Target } from "../../golden/compare.ts";
import { MemoryStorage } from "./memory_storage.ts";
import { type ReferenceAdapter, type ReferenceSide, transformReference } from "./reference.ts";

/** A part of a fused matrix. */
export type Part = "q" | "k" | "v";

/** How q, k and v lie in a fused matrix. */
export interface Fused {
  readonly numHeads: number;
  readonly numQueryGroups: number;
  readonly headSize: number;
  readonly order: "grouped" | "concat";
}

/** One adapter of a problem. */
export interface ProblemAdapter {
  readonly variant: "ether" | "etherplus" | "oft";
  readonly sides: readonly ("in" | "out")[];
  readonly layout: "paper" | "reference";
  readonly numBlocks: number;
  /** @default F32 */
  readonly dtype?: FloatDtype;
  /** What the config says; what the caller asks for stays 1. @default 1 */
  readonly strength?: number;
  /** The parts it has tensors for, where the matrix is fused. */
  readonly parts?: readonly Part[];
  /** v = −u: the identity. @default false */
  readonly untrained?: boolean;
}

/** What the weights are like. */
export type Weights = "normal" | "rows of many scales" | "subnormal" | "large";

/** A merge into one matrix. */
export interface Problem {
  readonly seed: number;
  readonly dtype: FloatDtype;
  /** The output's dtype. @default the matrix's own */
  readonly castTo?: FloatDtype;
  /** Of W, as torch has it; a Conv1D is stored the other way round. */
  readonly outer: number;
  readonly inner: number;
  /** @default false */
  readonly fanInFanOut?: boolean;
  /** (numHeads + 2·numQueryGroups)·headSize is `outer`. */
  readonly fused?: Fused;
  readonly weights?: Weights;
  readonly adapters: readonly ProblemAdapter[];
}

/** The target's name in every problem. */
export const TARGET = "model.layers.0.mixer.weight";
const MODULE = "base_model.model.model.layers.0.mixer";
const BASE = "base/model.safetensors";

/** A problem as files, planned. */
export interface BuiltProblem {
  readonly problem: Problem;
  readonly storage: MemoryStorage;
  readonly plan: MergePlan;
  /** The stored matrix's bytes. */
  readonly base: Uint8Array<ArrayBuffer>;
  /** Decoded adapter sides: of each adapter, of each part ("" for the whole matrix). */
  readonly references: readonly ReadonlyMap<Part | "", ReferenceAdapter>[];
}

/** Lays a problem out in memory and prepares its merge. `base` takes the place of the drawn weights; the adapters stay. */
export async function buildProblem(problem: Problem, base?: Uint8Array<ArrayBuffer>): Promise<BuiltProblem> {
  const random = new Random(problem.seed);
  for (let i = 0; i < 8; i++) random.bits();
  const storage = new MemoryStorage();
  const drawn = encodeValues(problem.dtype, drawWeights(random, problem));
  const stored = base ?? drawn;
  storage.set(BASE, tensorFile([[TARGET, problem.dtype, storedShape(problem), stored]]));

  const references: ReadonlyMap<Part | "", ReferenceAdapter>[] = [];
  for (const [index, adapter] of problem.adapters.entries()) {
    const { tensors, sides } = drawAdapter(random, problem, adapter);
    storage.set(`adapter${index}/adapter_model.safetensors`, tensorFile(tensors));
    storage.set(`adapter${index}/adapter_config.json`, JSON.stringify(configOf(problem, adapter)));
    references.push(sides);
  }
  const { plan } = await prepareMerge({
    base: storage.place("base"),
    adapters: problem.adapters.map((_, index) => ({ place: storage.place(`adapter${index}`) })),
    dtype: problem.castTo,
  }, storage);
  return { problem, storage, plan, base: stored, references };
}

/** How a file is computed. */
export interface ComputeOptions {
  readonly tileByteLength?: number;
  /** Byte range of the file. @default all of it */
  readonly range?: readonly [number, number];
  readonly sketches?: readonly KnownSketch[];
  readonly kernel?: Kernel;
}

/** Bytes of the only file of a plan, as an engine in this thread makes them. */
export async function computeFile(
  { plan, storage }: Pick<BuiltProblem, "plan" | "storage">,
  { tileByteLength = TILE_BYTES, range, sketches, kernel = sharedKernel() }: ComputeOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const engine = engineOf({ plan, storage }, tileByteLength, kernel);
  const file = plan.files[0]!;
  const [start, end] = range ?? [0, file.size];
  const bytes = new Uint8Array(end - start);
  let next = start;
  await engine.produce(file, start, end, (offset, part) => {
    if (offset !== next) throw new Error(`byte ${offset} came instead of ${next}`);
    bytes.set(part, offset - start);
    next += part.byteLength;
  }, sketches);
  if (next !== end) throw new Error(`ended at byte ${next} instead of ${end}`);
  engine.close();
  return bytes;
}

/** An engine over a problem's files; it writes nowhere. */
export function engineOf(
  { plan, storage }: Pick<BuiltProblem, "plan" | "storage">,
  tileByteLength: number,
  kernel: Kernel,
) {
  const openSink = () => {
    throw new Error("nothing is written");
  };
  const host = { kernel, openSource: storage.openSource, openSink, startDigest };
  return new Engine(host, { files: plan.files, output: null, tileByteLength });
}

let kernel: Kernel | undefined;

/** One kernel for all problems: preparing must not count on a fresh memory. */
export function sharedKernel(): Kernel {
  return kernel ??= loadKernel();
}

/** The target's merged bytes. */
export async function computeTarget(built: BuiltProblem, options?: ComputeOptions): Promise<Uint8Array<ArrayBuffer>> {
  const file = await computeFile(built, options);
  return file.slice(file.byteLength - outputByteLength(built.problem));
}

/** The span of the target, where the plan computes it. */
export function targetSpan({ plan }: BuiltProblem): TensorSpan {
  const span = plan.files[0]!.spans.at(-1)!;
  if (span.kind !== "tensor") throw new Error("the target is copied");
  return span;
}

/** What the merge must give, for `compareTensor`. */
export function targetOf({ problem, base, references }: BuiltProblem): Target {
  const values = decodeFloat64({ dtype: problem.dtype, shape: storedShape(problem), bytes: base });
  const shape = [problem.outer, problem.inner] as const;
  let w = problem.fanInFanOut ? transpose(values, problem.inner, problem.outer) : values;
  for (const reference of references) {
    for (const [part, adapter] of reference) {
      if (part === "") {
        w = transformReference(w, shape, adapter);
        continue;
      }
      const rows = partRows(problem.fused!, part);
      const own = new Float64Array(rows.length * problem.inner);
      rows.forEach((row, i) => own.set(w.subarray(row * problem.inner, (row + 1) * problem.inner), i * problem.inner));
      const changed = transformReference(own, [rows.length, problem.inner], adapter);
      w = w.slice();
      rows.forEach((row, i) =>
        w.set(changed.subarray(i * problem.inner, (i + 1) * problem.inner), row * problem.inner)
      );
    }
  }
  return {
    dtype: problem.castTo ?? problem.dtype,
    shape: storedShape(problem),
    base: values,
    exact: problem.fanInFanOut ? transpose(w, problem.outer, problem.inner) : w,
    stages: problem.adapters.length * stretch(problem),
    fanInFanOut: problem.fanInFanOut === true,
    inputBlocks: commonBlocks(problem, "in"),
    // The bound of a fused matrix is taken over the whole column.
    outputBlocks: problem.fused ? Math.min(1, commonBlocks(problem, "out")) : commonBlocks(problem, "out"),
  };
}

/** Merges a problem and holds the result against the reference. */
export async function compareProblem(problem: Problem, options?: ComputeOptions): Promise<Comparison> {
  const built = await buildProblem(problem);
  return compareTensor(await computeTarget(built, options), targetOf(built));
}

/** Rows of one part of a fused matrix: per group its q heads, one k head, one v head; or all q, all k, all v. */
export function partRows({ numHeads, numQueryGroups, headSize, order }: Fused, part: Part): number[] {
  const rows: number[] = [];
  if (order === "concat") {
    const start = { q: 0, k: numHeads, v: numHeads + numQueryGroups }[part];
    const heads = part === "q" ? numHeads : numQueryGroups;
    for (let row = start * headSize; row < (start + heads) * headSize; row++) rows.push(row);
    return rows;
  }
  // lit-gpt: the head at ⌊row / headSize⌋ is, within its group, one of q's, then k, then v.
  const perGroup = numHeads / numQueryGroups + 2;
  const rowCount = (numHeads + 2 * numQueryGroups) * headSize;
  for (let row = 0; row < rowCount; row++) {
    const position = Math.floor(row / headSize) % perGroup;
    if ((position === perGroup - 1 ? "v" : position === perGroup - 2 ? "k" : "q") === part) rows.push(row);
  }
  return rows;
}

/** Rounds toward nothing in particular: any code of the dtype near the value will do for a weight. */
export function encodeValues(dtype: FloatDtype, values: Float64Array | Float32Array): Uint8Array<ArrayBuffer> {
  const floats = Float32Array.from(values);
  if (dtype === "F32") return new Uint8Array(floats.buffer);
  if (dtype === "F16") return new Uint8Array(Float16Array.from(floats).buffer);
  const words = new Uint32Array(floats.buffer);
  return new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer);
}

/** A safetensors file of some tensors. */
export function tensorFile(
  tensors: readonly (readonly [string, FloatDtype, readonly number[], Uint8Array<ArrayBuffer>])[],
): Uint8Array<ArrayBuffer> {
  const header = encodeHeader(
    tensors.map(([name, dtype, shape, bytes]) => ({ name, dtype, shape, byteLength: bytes.byteLength })),
    null,
  );
  const file = new Uint8Array(tensors.reduce((size, [, , , bytes]) => size + bytes.byteLength, header.byteLength));
  file.set(header);
  let offset = header.byteLength;
  for (const [, , , bytes] of tensors) {
    file.set(bytes, offset);
    offset += bytes.byteLength;
  }
  return file;
}

function configOf(problem: Problem, adapter: ProblemAdapter): Record<string, unknown> {
  const { fused } = problem;
  return {
    ...{ peft_type: "ETHER", variant: adapter.variant, sides: adapter.sides, num_blocks: adapter.numBlocks },
    ...{ layout: adapter.layout, strength: adapter.strength ?? 1, fan_in_fan_out: problem.fanInFanOut ?? false },
    ...fused === undefined ? {} : {
      fused_qkv: {
        mixer: {
          ...{ n_head: fused.numHeads, n_query_groups: fused.numQueryGroups },
          ...{ head_size: fused.headSize, order: fused.order },
        },
      },
    },
  };
}

function drawAdapter(random: Random, problem: Problem, adapter: ProblemAdapter) {
  const { variant, layout, numBlocks, dtype = "F32", strength = 1 } = adapter;
  const tensors: [string, FloatDtype, number[], Uint8Array<ArrayBuffer>][] = [];
  const sides = new Map<Part | "", ReferenceAdapter>();
  const parts = problem.fused === undefined ? [""] as const : adapter.parts ?? ["q", "k", "v"] as const;
  for (const part of parts) {
    const outer = part === "" ? problem.outer : partRows(problem.fused!, part).length;
    const draw = (side: "in" | "out"): ReferenceSide | null => {
      if (!adapter.sides.includes(side)) return null;
      const n = (side === "in" ? problem.inner : outer) / numBlocks;
      if (!Number.isInteger(n)) throw new RangeError(`${numBlocks} blocks do not tile side ${side} of ${outer}`);
      const shape = variant === "oft" ? [numBlocks, n, n] : [numBlocks, n];
      const length = shape.reduce((product, size) => product * size, 1);
      const add = (name: string, values: Float64Array): Float64Array => {
        const bytes = encodeValues(dtype, values);
        tensors.push([`${MODULE}.${part === "" ? "" : `${part}.`}ether_${name}_${side}`, dtype, shape, bytes]);
        return decodeFloat64({ dtype, shape, bytes });
      };
      // No value is near zero, so that no block is.
      const value = () => random.normal() + (random.bits() & 1 ? 0.25 : -0.25);
      const u = add(variant === "oft" ? "R" : "u", Float64Array.from({ length }, value));
      if (variant !== "etherplus") return { u, v: null };
      return { u, v: add("v", adapter.untrained ? u.map((x) => -x) : Float64Array.from({ length }, value)) };
    };
    sides.set(part, { variant, layout, numBlocks, strength, input: draw("in"), output: draw("out") });
  }
  return { tensors, sides };
}

function drawWeights(random: Random, { outer, inner, dtype, weights = "normal" }: Problem): Float64Array {
  const scale = {
    "normal": () => 0.02,
    "rows of many scales": (row: number) => 2 ** (row * 5 % 23 - 14),
    "subnormal": () => dtype === "F16" ? 2 ** -17 : 2 ** -128,
    "large": () => dtype === "F16" ? 2 ** 13 : 2 ** 120,
  }[weights];
  return Float64Array.from({ length: outer * inner }, (_, at) => random.normal() * scale(Math.floor(at / inner)));
}

function storedShape({ outer, inner, fanInFanOut }: Problem): [number, number] {
  return fanInFanOut ? [inner, outer] : [outer, inner];
}

function outputByteLength({ outer, inner, dtype, castTo }: Problem): number {
  return outer * inner * elementByteLength(castTo ?? dtype);
}

/**
 * How far a chain stretches a vector at most, where its strengths do so on purpose: the tolerance counts with strengths
 * from 0 to 1, at which a reflection keeps lengths, and its A is of the matrix before.
 */
function stretch({ adapters }: Problem): number {
  const ofSide = ({ variant, strength = 1 }: ProblemAdapter) =>
    variant === "ether" ? Math.max(1, Math.abs(1 - 2 * strength)) : Math.max(1, Math.abs(strength));
  return adapters.reduce((product, adapter) => product * ofSide(adapter) ** adapter.sides.length, 1);
}

/** Blocks that no adapter of a chain reaches across: 2 for 6 and 4; 0 where none acts on a side. */
function commonBlocks({ adapters }: Problem, side: "in" | "out"): number {
  const common = (a: number, b: number): number => b === 0 ? a : common(b, a % b);
  return adapters.filter(({ sides }) => sides.includes(side)).reduce((so, { numBlocks }) => common(numBlocks, so), 0);
}

function transpose(values: Float64Array, rows: number, columns: number): Float64Array {
  return Float64Array.from(values, (_, at) => values[(at % rows) * columns + Math.floor(at / rows)]!);
}
