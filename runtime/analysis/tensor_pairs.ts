/** Which tensor of one model stands against which of another. */
import type { Model, ModelTensor } from "../checkpoints/model.ts";
import { shapeText } from "../safetensors/tensor_info.ts";

/** What headers alone say of a pair. */
export type PairKind =
  /** The same dtype and shape: their bytes decide. */
  | "comparable"
  /** The same shape in another dtype. */
  | "dtype"
  /** Another shape, and perhaps another dtype. */
  | "shape"
  /** Only the first model has it. */
  | "missing_in_b"
  /** Only the second model has it. */
  | "missing_in_a";

/** A name that at least one of two models has. */
export interface TensorPair {
  /** The tensor's name, with its folder where a model is several checkpoints. */
  readonly name: string;
  readonly kind: PairKind;
  readonly a: ModelTensor | null;
  readonly b: ModelTensor | null;
}

/** Every name of both models: in the order of the first, then what only the second has. Files and shards do not count. */
export function pairTensors(a: Model, b: Model): TensorPair[] {
  const ofA = tensorsByPlace(a);
  const ofB = tensorsByPlace(b);
  const names = new Set([...ofA.keys(), ...ofB.keys()]);
  return [...names].map((name) => {
    const [one, other] = [ofA.get(name) ?? null, ofB.get(name) ?? null];
    return { name, kind: kindOf(one, other), a: one, b: other };
  });
}

/** Tensors by name; of a repository of several checkpoints two may share one. */
function tensorsByPlace({ checkpoints }: Model): Map<string, ModelTensor> {
  const tensors = new Map<string, ModelTensor>();
  for (const { folder, files } of checkpoints) {
    const prefix = checkpoints.length > 1 ? folder : "";
    for (const file of files) {
      for (const info of file.header.tensors) tensors.set(prefix + info.name, { info, file });
    }
  }
  return tensors;
}

function kindOf(a: ModelTensor | null, b: ModelTensor | null): PairKind {
  if (b === null) return "missing_in_b";
  if (a === null) return "missing_in_a";
  if (shapeText(a.info) !== shapeText(b.info)) return "shape";
  return a.info.dtype === b.info.dtype ? "comparable" : "dtype";
}
