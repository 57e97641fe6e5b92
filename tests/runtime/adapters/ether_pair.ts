/** What an adapter does to a base that is made for it: its plan, or the error with which it is refused. */
import { assertRejects } from "@std/assert";
import { prepareMerge } from "../../../runtime/deno/library.ts";
import { EtherError } from "../../../runtime/error.ts";
import type { MergePlan } from "../../../runtime/plans/plan.ts";
import { type Content, type MadeTensor, makeAdapter, makeFolder, tensorFile } from "../../commands/made_files.ts";

/** Shapes by tensor name; a dtype may stand in the place of F32. */
export type Shapes = Readonly<Record<string, readonly number[] | MadeTensor>>;

/** A base and an adapter. */
export interface Pair {
  /** `{ "m.weight": [out, in] }`. @default one matrix `[12, 8]` of module `m` */
  readonly base?: Shapes;
  /** The base's `config.json`. @default none */
  readonly baseConfig?: Content;
  /** Fields of the adapter's config in place of the valid ones. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Shapes by name without `base_model.model.`. @default u of the input side of `m` in two blocks */
  readonly adapter?: Shapes;
  readonly allowBaseMismatch?: boolean;
  readonly strength?: number;
}

function tensors(shapes: Shapes, prefix = ""): Record<string, MadeTensor> {
  const made = Object.entries(shapes).map(([name, shape]): [string, MadeTensor] => {
    return [prefix + name, "dtype" in shape ? shape : { dtype: "F32", shape }];
  });
  return Object.fromEntries(made);
}

/** Plans the merge of a pair. */
export async function plan(pair: Pair): Promise<MergePlan> {
  const { base = { "m.weight": [12, 8] }, baseConfig, adapter = { "m.ether_u_in": [2, 4] }, config } = pair;
  const files: Record<string, Content> = { "model.safetensors": tensorFile(tensors(base)) };
  if (baseConfig !== undefined) files["config.json"] = baseConfig;
  const { allowBaseMismatch, strength } = pair;
  const request = {
    base: makeFolder(files, "base"),
    adapters: [{ path: makeAdapter(config, tensors(adapter, "base_model.model.")), strength }],
    allowBaseMismatch,
  };
  return (await prepareMerge(request)).plan;
}

/** What a pair does, tensor by tensor: `m.weight ether:in`. */
export async function transformed(pair: Pair): Promise<string[]> {
  return (await plan(pair)).transformed.map(({ name, ops }) => `${name} ${ops.join(" then ")}`);
}

/** The error with which a pair is refused. */
export async function refusal(pair: Pair): Promise<EtherError> {
  return await assertRejects(() => plan(pair), EtherError);
}
