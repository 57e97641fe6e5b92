/** An ETHER adapter's tensors, sorted into modules, parts and sides; every one of them has a use. */
import type { Adapter } from "../../adapters/adapter.ts";
import { matchesModule, PEFT_PREFIX } from "../../adapters/peft_names.ts";
import { EtherError } from "../../error.ts";
import { isFloatDtype } from "../../safetensors/dtype.ts";
import type { TensorInfo } from "../../safetensors/tensor_info.ts";
import type { TensorRef } from "../op.ts";
import type { EtherConfig, FusedQkv, Side, Variant } from "./config.ts";

/** A part of a fused matrix. */
export type Part = "q" | "k" | "v";

/** The parameters of one side: u of ETHER, u and v of ETHER+, R (as `u`) of a dense block. */
export interface SideTensors {
  readonly u: TensorRef;
  readonly v: TensorRef | null;
  /** n: the length of a vector, or the order of a dense block. */
  readonly blockLength: number;
}

/** What an adapter has for one module, or for one part of a fused one. */
export interface EtherModule {
  readonly path: string;
  readonly part: Part | null;
  readonly fused: FusedQkv | null;
  readonly variant: Variant;
  readonly sides: ReadonlyMap<Side, SideTensors>;
  /** One tensor of it, for messages. */
  readonly tensorName: string;
}

/** A module's tensors while they are collected. */
interface Draft {
  readonly path: string;
  readonly part: Part | null;
  readonly fused: FusedQkv | null;
  readonly tensors: Map<string, TensorInfo>;
}

const NAME = /^(.+)\.ether_(u|v|R)_(in|out)$/s;
const PARAMETERS: Readonly<Record<Variant, readonly string[]>> = {
  ether: ["u"],
  etherplus: ["u", "v"],
  oft: ["R"],
};

/**
 * Sorts an adapter's tensors.
 *
 * @throws {EtherError} `unused_tensor`, `missing_param`, `unsupported_dtype`, `bad_shape`, `bad_blocks`
 */
export function readModules(adapter: Adapter, config: EtherConfig): EtherModule[] {
  const drafts = new Map<string, Draft>();
  for (const info of adapter.header.tensors) collect(adapter, config, info, drafts);
  if (drafts.size === 0) {
    const hint = `tensors are named ${PEFT_PREFIX}<module>.ether_u_in`;
    throw new EtherError("missing_param", "the adapter holds no ETHER tensor", { file: adapter.fileName, hint });
  }
  const whole = new Set([...drafts.values()].filter(({ part }) => part === null).map(({ path }) => path));
  for (const { path, part, tensors } of drafts.values()) {
    if (part === null || !whole.has(path)) continue;
    unused(adapter, [...tensors.values()][0]!, `${path} has tensors of its own beside those of its parts`);
  }
  return [...drafts.values()].map((draft) => finish(adapter, config, draft));
}

function collect(adapter: Adapter, config: EtherConfig, info: TensorInfo, drafts: Map<string, Draft>): void {
  const match = info.name.startsWith(PEFT_PREFIX) ? NAME.exec(info.name.slice(PEFT_PREFIX.length)) : null;
  if (match === null) unused(adapter, info, `no ETHER parameter has this name`);
  const [, path, parameter, side] = match as unknown as [string, string, string, Side];
  const { modulePath, part, fused } = splitPart(path, config);
  const variant = variantOf(modulePath, config);
  if (!PARAMETERS[variant].includes(parameter)) {
    unused(adapter, info, `variant "${variant}" has no parameter ${parameter}`);
  }
  if (!config.sides.includes(side)) unused(adapter, info, `the config's sides have no "${side}"`);
  const draft = drafts.get(path) ?? { path: modulePath, part, fused, tensors: new Map<string, TensorInfo>() };
  drafts.set(path, draft);
  draft.tensors.set(`${parameter}_${side}`, info);
}

function unused(adapter: Adapter, info: TensorInfo, reason: string): never {
  const hint = "every adapter tensor must have a use: remove it, or correct the config";
  throw new EtherError("unused_tensor", reason, { file: adapter.fileName, tensor: info.name, hint });
}

/** `…attn.q` is part q of `…attn` only where the config says that `…attn` is fused: T5 has modules named q. */
function splitPart(
  path: string,
  config: EtherConfig,
): { modulePath: string; part: Part | null; fused: FusedQkv | null } {
  const match = /^(.+)\.([qkv])$/s.exec(path);
  if (match !== null) {
    for (const [key, fused] of config.fusedQkv) {
      if (matchesModule(key, match[1]!)) return { modulePath: match[1]!, part: match[2] as Part, fused };
    }
  }
  return { modulePath: path, part: null, fused: null };
}

function overrideOf(modulePath: string, config: EtherConfig): Variant | undefined {
  for (const [key, variant] of config.variantOverrides) {
    if (matchesModule(key, modulePath)) return variant;
  }
  return undefined;
}

function variantOf(modulePath: string, config: EtherConfig): Variant {
  return overrideOf(modulePath, config) ?? config.variant;
}

function finish(adapter: Adapter, config: EtherConfig, draft: Draft): EtherModule {
  const variant = variantOf(draft.path, config);
  const mayLackSides = config.perTensorSides || overrideOf(draft.path, config) !== undefined;
  const tensorName = [...draft.tensors.values()][0]!.name;
  const sides = new Map<Side, SideTensors>();
  for (const side of config.sides) {
    const [first, second] = PARAMETERS[variant];
    const u = draft.tensors.get(`${first}_${side}`);
    const v = draft.tensors.get(`${second}_${side}`);
    const missing = (parameter: string, hint: string): never => {
      const name = `${PEFT_PREFIX}${draft.path}${
        draft.part === null ? "" : `.${draft.part}`
      }.ether_${parameter}_${side}`;
      throw new EtherError("missing_param", `no ${name}`, { file: adapter.fileName, tensor: tensorName, hint });
    };
    if (u === undefined && v === undefined) {
      if (mayLackSides) continue;
      missing(first!, `the config's sides promise "${side}"; per_tensor_sides: true lets a module lack one`);
    }
    if (u === undefined) missing(first!, "v without u has no meaning");
    if (v === undefined && second !== undefined) missing(second, "etherplus needs u and v");
    sides.set(side, checkShapes(adapter, config, variant, u!, v ?? null));
  }
  return { path: draft.path, part: draft.part, fused: draft.fused, variant, sides, tensorName };
}

function checkShapes(
  adapter: Adapter,
  config: EtherConfig,
  variant: Variant,
  u: TensorInfo,
  v: TensorInfo | null,
): SideTensors {
  const file = adapter.fileName;
  const rank = variant === "oft" ? 3 : 2;
  for (const info of v === null ? [u] : [u, v]) {
    const shape = `shape [${info.shape.join(", ")}]`;
    const expected = variant === "oft" ? "[num_blocks, n, n]" : "[num_blocks, n]";
    if (info.shape.length !== rank || (rank === 3 && info.shape[1] !== info.shape[2])) {
      throw new EtherError("bad_shape", `${shape} is not ${expected}`, { file, tensor: info.name });
    }
  }
  if (v !== null && v.shape.some((size, axis) => size !== u.shape[axis])) {
    const message = `u has shape [${u.shape.join(", ")}] and v [${v.shape.join(", ")}]`;
    throw new EtherError("bad_shape", message, { file, tensor: v.name });
  }
  if (u.shape[0] !== config.numBlocks || u.shape[1] === 0) {
    const message = `shape [${u.shape.join(", ")}] does not have num_blocks = ${config.numBlocks} blocks`;
    throw new EtherError("bad_blocks", message, { file, tensor: u.name, field: "num_blocks" });
  }
  return { u: refOf(adapter, u), v: v === null ? null : refOf(adapter, v), blockLength: u.shape[1]! };
}

function refOf(adapter: Adapter, info: TensorInfo): TensorRef {
  const { name, dtype, shape, strides, offset, byteLength } = info;
  if (!isFloatDtype(dtype)) {
    const hint = "adapter tensors are F32, F16 or BF16";
    throw new EtherError("unsupported_dtype", `dtype ${dtype}`, { file: adapter.fileName, tensor: name, hint });
  }
  const place = strides === undefined ? { offset, byteLength } : { strides, offset, byteLength };
  return { name, locator: adapter.locator, dtype, shape, ...place };
}
