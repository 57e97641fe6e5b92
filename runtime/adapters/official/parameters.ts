/** An official checkpoint's parameters, sorted into lit-gpt's modules. */
import { EtherError } from "../../error.ts";
import { clip, quote } from "../../json/quote.ts";
import type { TorchTensor } from "../../torch/state_dict.ts";
import type { LitModuleKind } from "./families.ts";

/** `Htype`: `etherplusHH` is ETHER+ on both sides. */
export type OfficialType = "ether" | "etherplus" | "etherplusHH" | "oft";

/** A tensor without the leading 1 that the fused attention's have. */
export type Parameter = Omit<TorchTensor, "name">;

/** R, R2, R3 and R4 of one module, or of one part of the fused attention. */
export interface LitModule {
  readonly kind: LitModuleKind;
  /** Decimal digits; the empty string for the head. */
  readonly layer: string;
  /** Decimal digits; the empty string for what is no expert. */
  readonly expert: string;
  /** The empty string for what is not `attn.attn`. */
  readonly part: "" | "q" | "k" | "v";
  /** In the order R, R2, R3, R4. */
  readonly parameters: readonly Parameter[];
  /** The key of the first one, for messages. */
  readonly key: string;
}

/** All modules of a checkpoint, which were trained as one type with one block count. */
export interface OfficialModules {
  readonly type: OfficialType;
  readonly numBlocks: number;
  readonly modules: readonly LitModule[];
}

const NUMBER = "(0|[1-9]\\d{0,5})";
const KEY = new RegExp(
  `^(?:transformer\\.h\\.${NUMBER}\\.(?:(attn\\.attn|attn\\.proj|mlp\\.(?:fc|fc_1|fc_2|proj|gate))|` +
    `mlp\\.experts\\.${NUMBER}\\.(fc_1|fc_2|proj))|lm_head)\\.ether_R([234]?)([qkv]?)$`,
);

/** How many of R, R2, R3, R4 a type has. */
const PARAMETER_COUNT: Readonly<Record<OfficialType, number>> = { ether: 1, etherplus: 2, etherplusHH: 4, oft: 1 };

/** A module while its parameters are collected. */
interface Draft extends Omit<LitModule, "parameters" | "key"> {
  /** By their place among R, R2, R3, R4; with their keys. */
  readonly found: Map<number, readonly [key: string, parameter: Parameter]>;
  /** Its key without the parameter: `transformer.h.0.attn.proj`. */
  readonly prefix: string;
}

/**
 * Sorts a checkpoint's tensors and tells its type: R3 makes it two-sided ETHER+, R2 ETHER+, an R of one more dimension
 * OFT. The gate of a mixture of experts is not told the type by the authors' code, and is always plain ETHER.
 *
 * @throws {EtherError} `unused_tensor`, `missing_param`, `bad_shape`, `bad_blocks`
 */
export function readOfficialModules(tensors: Iterable<TorchTensor>, file: string): OfficialModules {
  const drafts = new Map<string, Draft>();
  for (const tensor of tensors) collect(tensor, drafts, file);
  if (drafts.size === 0) {
    const hint = "an official checkpoint is lit_model_ether_finetuned.pth or iter-…-ckpt.pth of finetune/ether.py";
    throw new EtherError("missing_param", "the file holds no ETHER parameter", { file, hint });
  }
  const typed = [...drafts.values()].filter(({ kind }) => kind !== "mlp.gate");
  const type = typeOf(typed);
  const modules = [...drafts.values()].map((draft) => finish(draft, draft.kind === "mlp.gate" ? "ether" : type, file));
  return { type, numBlocks: blockCount(modules, file), modules };
}

function collect(tensor: TorchTensor, drafts: Map<string, Draft>, file: string): void {
  const key = tensor.name;
  const match = KEY.exec(key);
  const [, layer = "", plain, expert = "", expertKind, number = "", part = ""] = match ?? [];
  const kind = plain ?? (expertKind === undefined ? "lm_head" : `mlp.experts.${expertKind}`);
  if (match === null || (part !== "") !== (kind === "attn.attn")) {
    const hint = key.includes("ether_") ? "another version of the authors' code?" : "is this a whole model?";
    const place = { file, tensor: clip(key, 200), hint };
    throw new EtherError("unused_tensor", "no parameter of an official ETHER checkpoint has this name", place);
  }
  const prefix = key.slice(0, key.lastIndexOf(".ether_"));
  const id = prefix + part;
  const draft = drafts.get(id) ??
    { kind: kind as LitModuleKind, layer, expert, part: part as LitModule["part"], prefix, found: new Map() };
  drafts.set(id, draft);
  draft.found.set(number === "" ? 0 : Number(number) - 1, [key, part === "" ? tensor : withoutFirst(tensor, file)]);
}

/** `[1, nb, n]` is `[nb, n]`: the authors' code stacks the parts it transforms. */
function withoutFirst(tensor: TorchTensor, file: string): Parameter {
  const { name, dtype, shape, strides, offset, byteLength } = tensor;
  if (shape[0] !== 1) {
    const message = `shape [${shape.join(", ")}] does not begin with the 1 of a part of q, k and v`;
    throw new EtherError("bad_shape", message, { file, tensor: name });
  }
  return { dtype, shape: shape.slice(1), strides: strides?.slice(1) ?? null, offset, byteLength };
}

function typeOf(drafts: readonly Draft[]): OfficialType {
  const has = (index: number) => drafts.some(({ found }) => found.has(index));
  if (has(2) || has(3)) return "etherplusHH";
  if (has(1)) return "etherplus";
  return drafts.some(({ found }) => found.get(0)?.[1].shape.length === 3) ? "oft" : "ether";
}

function finish({ found, prefix, ...module }: Draft, type: OfficialType, file: string): LitModule {
  const [firstKey] = [...found.values()][0]!;
  const rank = type === "oft" ? 3 : 2;
  const parameters: Parameter[] = [];
  for (let index = 0; index < PARAMETER_COUNT[type]; index++) {
    const entry = found.get(index);
    if (entry === undefined) {
      const name = `${prefix}.ether_R${index === 0 ? "" : index + 1}${module.part}`;
      const hint = `its other parameters are those of "${type}"; save the checkpoint again`;
      throw new EtherError("missing_param", `no ${name}`, { file, tensor: firstKey, hint });
    }
    const [key, parameter] = entry;
    if (parameter.shape.length !== rank) {
      const expected = type === "oft" ? "[num_blocks, n, n]" : "[num_blocks, n]";
      const message = `shape [${parameter.shape.join(", ")}] is not ${expected} of "${type}"`;
      throw new EtherError("bad_shape", message, { file, tensor: key });
    }
    parameters.push(parameter);
  }
  const extra = [...found].find(([index]) => index >= parameters.length);
  if (extra !== undefined) {
    throw new EtherError("unused_tensor", `"${type}" has no such parameter here`, { file, tensor: extra[1][0] });
  }
  return { ...module, parameters, key: firstKey };
}

function blockCount(modules: readonly LitModule[], file: string): number {
  const [first] = modules;
  const numBlocks = first!.parameters[0]!.shape[0]!;
  for (const { parameters, key } of modules) {
    const other = parameters.find(({ shape }) => shape[0] !== numBlocks);
    if (other === undefined) continue;
    const message = `${other.shape[0]} blocks, but ${quote(first!.key)} has ${numBlocks}`;
    throw new EtherError("bad_blocks", message, { file, tensor: key });
  }
  if (numBlocks === 0) throw new EtherError("bad_blocks", "no blocks at all", { file, tensor: first!.key });
  return numBlocks;
}
