/** From an ETHER adapter and a base to Ops: every check that can be made before the first byte is written. */
import type { Adapter } from "../../adapters/adapter.ts";
import { structureFingerprint } from "../../adapters/fingerprint.ts";
import { checkTargetModules } from "../../adapters/target_modules.ts";
import { headsOfCheckpoint } from "../../checkpoints/heads.ts";
import type { ModelTensor } from "../../checkpoints/model.ts";
import { EtherError } from "../../error.ts";
import { isFloatDtype } from "../../safetensors/dtype.ts";
import { type CompiledAdapter, type CompileOptions, type ExpectedTensor, NO_INVERSE, type Stage } from "../method.ts";
import type { Region } from "../op.ts";
import { TensorReader } from "../tensor_reader.ts";
import { type EtherConfig, readEtherConfig, type Side } from "./config.ts";
import { doubtfulConv1d, isConv1d } from "./conv1d.ts";
import { etherFacts } from "./facts.ts";
import { type Inverse, invert } from "./inverse.ts";
import { type EtherModule, readModules, type SideTensors } from "./modules.ts";
import { reflectionByteLength } from "./reflection.ts";
import { checkHeads, partRegion, wholeRegion } from "./regions.ts";
import { rotationByteLength } from "./rotation.ts";
import { type Blocks, ETHER, type EtherSpec } from "./spec.ts";
import { cancelOut, checkVectors } from "./unit.ts";

/** @throws {EtherError} every code of an adapter, see docs/errors.md */
export async function compileEther(adapter: Adapter, options: CompileOptions): Promise<CompiledAdapter> {
  const config = readEtherConfig(adapter);
  const strength = config.strength * options.strength;
  checkStrength(adapter, config, strength, options.strength);
  const modules = readModules(adapter, config);
  const warnings = [...config.warnings, ...await checkTargetModules(adapter, config.targetModules, modules)];
  warnings.push(...unmatchedKeys(adapter, config, modules));

  const doubtful: string[] = [];
  const byTensor = new Map<ModelTensor, EtherSpec[]>();
  const moduleOf = new Map<ModelTensor, string>();
  for (const module of modules) {
    const { tensor, spec } = compileModule(adapter, config, module, strength, options);
    const other = moduleOf.get(tensor);
    if (other !== undefined && other !== module.path) {
      const message = `${other} and ${module.path} both mean ${tensor.info.name}`;
      throw new EtherError("unknown_target", message, { file: adapter.fileName, tensor: module.tensorName });
    }
    moduleOf.set(tensor, module.path);
    if (spec.conv1d && doubtfulConv1d(module.path, tensor, options.targets.model)) doubtful.push(tensor.info.name);
    byTensor.set(tensor, [...byTensor.get(tensor) ?? [], spec]);
  }
  if (doubtful.length > 0) {
    const more = doubtful.length > 1 ? ` and ${doubtful.length - 1} more` : "";
    warnings.push(
      `${adapter.configName}: fan_in_fan_out takes ${doubtful[0]}${more} for stored [in, out]; a model of the base's ` +
        "model_type stores [out, in], and a square matrix takes either",
    );
  }
  if (await checkValues(adapter, modules, options)) {
    warnings.push(`${adapter.fileName}: every v is ±u: the adapter is the identity, as before training`);
  }
  const expected = await checkFingerprint(adapter, config, options, warnings);
  const stages: Stage[] = [];
  for (const [tensor, ops] of strength === 0 ? [] : byTensor) {
    if (options.undo) stages.push(...await undoStages(adapter, tensor, ops, options));
    else stages.push({ tensor, ops });
  }
  return { stages, expected, warnings, facts: etherFacts(config, strength) };
}

/** The stages that undo one tensor's Ops. */
async function undoStages(
  adapter: Adapter,
  tensor: ModelTensor,
  specs: readonly EtherSpec[],
  { openSource, signal }: CompileOptions,
): Promise<Stage[]> {
  const readers = { u: new TensorReader(openSource), v: new TensorReader(openSource) };
  try {
    const inverses: Inverse[] = [];
    for (const spec of specs) {
      signal?.throwIfAborted();
      inverses.push(await invert(spec, readers));
    }
    // A part of a fused matrix with a block that has no inverse is worse than one that enlarges more on two sides.
    const badness = ({ amplification, worst }: Inverse) =>
      (worst?.amplification ?? 1) < NO_INVERSE ? amplification : Infinity;
    const worst = inverses.reduce((a, b) => badness(b) > badness(a) ? b : a);
    const ops = inverses.map(({ main }) => main);
    const rest = inverses.map(({ rest }) => rest).filter((spec) => spec !== null);
    const first: Stage = worst.worst === null ? { tensor, ops } : {
      ...{ tensor, ops },
      amplification: {
        ...{ factor: worst.amplification, file: adapter.fileName, tensor: worst.worst.tensor },
        ...{ block: worst.worst.block, ofBlock: worst.worst.amplification },
      },
    };
    return rest.length === 0 ? [first] : [first, { tensor, ops: rest }];
  } finally {
    readers.u.close();
    readers.v.close();
  }
}

/** @throws {EtherError} `bad_config`, `usage`, `unsupported` */
export function checkStrength(adapter: Adapter, config: EtherConfig, strength: number, asked: number): void {
  const place = { file: adapter.configName, field: "strength" };
  const tooLarge = (value: number) => !Number.isFinite(Math.fround(2 * value));
  if (tooLarge(strength)) {
    const message = `the effective strength is ${strength}, which is too large for f32`;
    if (tooLarge(config.strength)) throw new EtherError("bad_config", message, place);
    throw new EtherError("usage", message, { field: "--strength", hint: `given ${asked}; something near 1 is usual` });
  }
  const dense = config.variant === "oft" || [...config.variantOverrides.values()].includes("oft");
  if (dense && strength !== 1) {
    const hint = "a rotation has no partial strength here; leave it at 1";
    throw new EtherError("unsupported", `variant "oft" at strength ${strength}`, { ...place, hint });
  }
}

/** A key that means no module is dropped, so it is said. */
function unmatchedKeys(adapter: Adapter, config: EtherConfig, modules: readonly EtherModule[]): string[] {
  const paths = new Set(modules.map(({ path }) => path));
  const means = (key: string) => [...paths].some((path) => path === key || path.endsWith(`.${key}`));
  const warn = (field: string, keys: Iterable<string>) =>
    [...keys].filter((key) => !means(key)).map((key) => `${adapter.configName}: ${field}: no module matches ${key}`);
  return [
    ...warn("variant_overrides", config.variantOverrides.keys()),
    ...warn("fused_qkv", config.fusedQkv.keys()),
  ];
}

function compileModule(
  adapter: Adapter,
  config: EtherConfig,
  module: EtherModule,
  strength: number,
  { targets }: CompileOptions,
): { tensor: ModelTensor; spec: EtherSpec } {
  const place = { file: adapter.fileName, tensor: module.tensorName };
  const tensor = targets.find(module.path, place);
  const { name, shape, dtype } = tensor.info;
  const checkpoint = targets.model.checkpoints.find(({ files }) => files.includes(tensor.file));
  if (checkpoint?.config?.quantized === true || !isFloatDtype(dtype)) {
    const what = isFloatDtype(dtype) ? "is of a quantised base" : `has dtype ${dtype}`;
    const hint = "merge into the F32, F16 or BF16 model";
    throw new EtherError("unsupported_dtype", `${name} ${what}`, { ...place, hint });
  }
  const [rowCount, columnCount] = shape;
  if (shape.length !== 2 || rowCount === undefined || columnCount === undefined) {
    const message = `${name} has shape [${shape.join(", ")}]; ETHER is defined on matrices`;
    throw new EtherError("bad_shape", message, place);
  }
  const conv1d = isConv1d(config.fanInFanOut, module.path, tensor, targets.model, adapter);
  if (conv1d && module.part !== null) {
    const hint = "adapt the fused matrix as a whole";
    throw new EtherError("unsupported_feature", "parts of a fused Conv1D", { ...place, field: "fused_qkv", hint });
  }
  const region = module.part === null
    ? wholeRegion(rowCount, columnCount)
    : partRegion(module.fused!, module.part, rowCount, columnCount, { ...place, file: adapter.configName });
  if (module.part !== null && checkpoint !== undefined) {
    checkHeads(module.fused!, headsOfCheckpoint(targets.model, checkpoint), rowCount, targets.model.name, {
      ...place,
      file: adapter.configName,
    });
  }
  return { tensor, spec: makeSpec(config, module, region, conv1d, strength, place) };
}

function makeSpec(
  config: EtherConfig,
  module: EtherModule,
  region: Region,
  conv1d: boolean,
  strength: number,
  place: { file: string; tensor: string },
): EtherSpec {
  const blocksOf = (side: Side): Blocks | null => {
    const tensors = module.sides.get(side);
    if (tensors === undefined) return null;
    const axis = (side === "in") === conv1d ? region.rowCount : region.columnCount;
    checkLength(tensors, config.numBlocks, axis, side, place);
    const map = side === "in" && config.layout === "reference" ? "flat" : "split";
    return { map, numBlocks: config.numBlocks, blockLength: tensors.blockLength, u: tensors.u, v: tensors.v };
  };
  const input = blocksOf("in");
  const output = blocksOf("out");
  const [along, down] = conv1d ? [output, input] : [input, output];
  const sides = [...module.sides.keys()].join("+");
  const label = `${module.variant}:${module.part === null ? "" : `${module.part}:`}${sides}`;
  const groupRows = down === null ? region.rowCount : down.blockLength;
  const shared = { method: ETHER, region, label, along, down, conv1d, groupRows };
  if (module.variant === "oft") {
    const groupNeed = down === null ? "nothing" : "rows";
    return {
      ...shared,
      kind: "rotation",
      transposed: conv1d,
      groupNeed,
      sketchLength: 0,
      tileDtypes: [],
      stateByteLength: rotationByteLength(along, down),
    };
  }
  return {
    ...shared,
    kind: "reflection",
    groupNeed: down === null ? "nothing" : "sketch",
    sketchLength: down === null ? 0 : region.columnCount * (down.v === null ? 1 : 2),
    tileDtypes: ["F32", "F16", "BF16"],
    stateByteLength: reflectionByteLength(region, along, down),
    alpha: Math.fround(module.variant === "ether" ? 2 * strength : strength),
    beta: module.variant === "ether" ? 0 : Math.fround(strength),
  };
}

function checkLength(
  { u, blockLength }: SideTensors,
  numBlocks: number,
  dimension: number,
  side: Side,
  place: { file: string; tensor: string },
): void {
  if (numBlocks * blockLength === dimension) return;
  const message = `${numBlocks} blocks of ${blockLength} do not tile the ${side} side's ${dimension}`;
  throw new EtherError("bad_blocks", message, { ...place, tensor: u.name, field: "num_blocks" });
}

/** Reads every adapter tensor once. True: the whole adapter is the identity. */
export async function checkValues(
  adapter: Adapter,
  modules: readonly EtherModule[],
  { openSource, signal }: Pick<CompileOptions, "openSource" | "signal">,
): Promise<boolean> {
  let identity = true;
  // Two, so that u and v can be held against each other.
  const readers = { u: new TensorReader(openSource), v: new TensorReader(openSource) };
  try {
    for (const { variant, sides } of modules) {
      for (const { u, v, blockLength } of sides.values()) {
        signal?.throwIfAborted();
        const uValues = await readChecked(adapter, u, variant === "oft" ? null : blockLength, readers.u);
        const vValues = v === null ? null : await readChecked(adapter, v, blockLength, readers.v);
        identity &&= vValues !== null && cancelOut(uValues, vValues, blockLength);
      }
    }
  } finally {
    readers.u.close();
    readers.v.close();
  }
  return identity;
}

/** @param length  a vector's; null for a dense block, which may be zero: then it is the identity */
async function readChecked(
  adapter: Adapter,
  ref: SideTensors["u"],
  length: number | null,
  reader: TensorReader,
): Promise<Float32Array> {
  const values = await reader.read(ref);
  const fault = checkVectors(values, length ?? values.length);
  if (fault === null || (length === null && fault.code === "zero_vector")) return values;
  const what = fault.code === "zero_vector" ? "is all zero" : "holds a NaN or an infinity";
  throw new EtherError(fault.code, `block ${fault.block} ${what}`, {
    file: adapter.fileName,
    tensor: ref.name,
    hint: "the training run broke; take an earlier checkpoint of the adapter",
  });
}

async function checkFingerprint(
  adapter: Adapter,
  { fingerprint }: EtherConfig,
  { targets, allowBaseMismatch, undo }: CompileOptions,
  warnings: string[],
): Promise<ExpectedTensor[]> {
  if (fingerprint === null) return [];
  const file = adapter.configName;
  const mismatch = (field: string, tensor: string | undefined, message: string) => {
    const hint = "this is not the base that the adapter was trained on; --allow-base-mismatch merges all the same";
    const error = new EtherError("base_mismatch", message, { file, field, tensor, hint });
    if (!allowBaseMismatch) throw error;
    warnings.push(`${file}: ${message}`);
  };
  const structure = await structureFingerprint(targets.model);
  if (structure !== fingerprint.structure) {
    const message = `the base's structure is ${structure}, the adapter's base had ${fingerprint.structure}`;
    mismatch("base_fingerprint.structure", undefined, message);
  }
  // A merged model has the base's structure, and other bytes.
  if (undo) return [];
  const expected: ExpectedTensor[] = [];
  for (const [name, sha256] of fingerprint.targets) {
    const found = targets.model.tensors.get(name);
    if (found?.length === 1) expected.push({ tensor: found[0]!, sha256, file, overruled: allowBaseMismatch });
    else mismatch("base_fingerprint.targets", name, "the base has no such tensor");
  }
  return expected;
}
