/** What a call's adapters do to one module's activations, and the matrix between its two sides. */
import { nearestName } from "../adapters/nearest_name.ts";
import type { Targets } from "../adapters/target.ts";
import type { ModelTensor } from "../checkpoints/model.ts";
import { EtherError } from "../error.ts";
import { quote } from "../json/quote.ts";
import type { ActivationPart, CompiledActivations } from "../methods/activation.ts";
import { looksLikeConv1d } from "../methods/ether/conv1d.ts";
import type { CompiledAdapter } from "../methods/method.ts";
import type { TensorRef } from "../methods/op.ts";
import { methodOfOp } from "../methods/registry.ts";
import { elementByteLength, type FloatDtype, isFloatDtype } from "../safetensors/dtype.ts";

/** A matrix of the base. */
export interface LayerWeight {
  readonly tensor: ModelTensor;
  readonly dtype: FloatDtype;
  readonly storedInOut: boolean;
  /** `<module>.bias`, f32, f16 or bf16 `[out]`; never transformed. */
  readonly bias: TensorRef | null;
}

/** One module. */
export interface Layer {
  readonly module: string;
  /** null without a base. */
  readonly weight: LayerWeight | null;
  /** Dimension of x; null where neither base nor adapter says, because none acts there. */
  readonly inCount: number | null;
  /** Dimension of y; likewise. */
  readonly outCount: number | null;
  /** Each adapter's parts, in the call's order; empty for one that leaves the module alone. */
  readonly adapters: readonly (readonly ActivationPart[])[];
}

/** @throws {EtherError} `unknown_target`, `tied_head`, `bad_shape`, `unsupported_dtype`, `bad_config` */
export function layerOfBase(module: string, targets: Targets, adapters: readonly CompiledAdapter[]): Layer {
  const { model } = targets;
  const place = { file: model.name, tensor: module };
  const tensor = targets.find(module, place);
  const { name, dtype, shape } = tensor.info;
  const checkpoint = model.checkpoints.find(({ files }) => files.includes(tensor.file));
  if (!isFloatDtype(dtype) || checkpoint?.config?.quantized === true) {
    const what = isFloatDtype(dtype) ? "is of a quantised base" : `has dtype ${dtype}`;
    throw new EtherError("unsupported_dtype", `${name} ${what}`, { ...place, hint: "use the F32, F16 or BF16 model" });
  }
  const [rows, columns] = shape;
  if (shape.length !== 2 || rows === undefined || columns === undefined || rows * columns === 0) {
    throw new EtherError("bad_shape", `${name} has shape [${shape.join(", ")}], not a matrix's`, place);
  }
  const parts = adapters.map(({ stages }) =>
    stages.filter((stage) => stage.tensor === tensor).flatMap(({ ops }) =>
      ops.map((spec) => methodOfOp(spec).activation(spec))
    )
  );
  const says = new Set(parts.flat().map(({ storedInOut }) => storedInOut));
  if (says.size > 1) {
    const hint = "their fan_in_fan_out must agree";
    throw new EtherError("bad_config", `the adapters disagree whether ${name} is [in, out]`, { ...place, hint });
  }
  const storedInOut = [...says][0] ?? looksLikeConv1d(module, checkpoint?.config?.modelType ?? null);
  const [outCount, inCount] = storedInOut ? [columns, rows] : [rows, columns];
  const bias = biasOf(tensor, outCount, targets);
  return { module, weight: { tensor, dtype, storedInOut, bias }, inCount, outCount, adapters: parts };
}

function biasOf(weight: ModelTensor, outCount: number, { model }: Targets): TensorRef | null {
  const name = weight.info.name.replace(/weight$/, "bias");
  const checkpoint = model.checkpoints.find(({ files }) => files.includes(weight.file));
  const tensor = model.tensors.get(name)?.find(({ file }) => checkpoint?.files.includes(file));
  if (tensor === undefined) return null;
  const { dtype, shape, offset } = tensor.info;
  const place = { file: model.name, tensor: name };
  if (shape.length !== 1 || shape[0] !== outCount) {
    throw new EtherError("bad_shape", `the bias ${name} has shape [${shape.join(", ")}], not [${outCount}]`, place);
  }
  if (!isFloatDtype(dtype)) throw new EtherError("unsupported_dtype", `dtype ${dtype}`, place);
  return { name, locator: tensor.file.locator, dtype, shape, offset, byteLength: outCount * elementByteLength(dtype) };
}

/** Of adapters alone. @throws {EtherError} `unknown_target` where none has the module, `bad_shape` */
export function layerOfAdapters(module: string, adapters: readonly CompiledActivations[]): Layer {
  const other = module.startsWith("model.") ? module.slice("model.".length) : `model.${module}`;
  const found = adapters.map(({ modules }) => modules.get(module) ?? modules.get(other));
  if (found.every((parts) => parts === undefined)) {
    const nearest = nearestName(module, adapters.flatMap(({ modules }) => [...modules.keys()]));
    const hint = nearest === null
      ? "name a module of the adapters, or a base"
      : `the nearest name is ${quote(nearest)}`;
    throw new EtherError("unknown_target", `no adapter has a module ${quote(module)}`, { tensor: module, hint });
  }
  const parts = found.map((one) => one ?? []);
  const agreed = (side: string, counts: readonly (number | null)[]): number | null => {
    const known = new Set(counts.filter((count) => count !== null));
    if (known.size <= 1) return [...known][0] ?? null;
    const message = `the adapters' ${side} sides are of ${[...known].join(" and ")}`;
    throw new EtherError("bad_shape", message, { tensor: module });
  };
  const all = parts.flat();
  return {
    ...{ module, weight: null, adapters: parts },
    inCount: agreed("in", all.map(({ input }) => input?.region.columnCount ?? null)),
    outCount: agreed("out", all.map(({ matrixFeatureCount }) => matrixFeatureCount)),
  };
}
