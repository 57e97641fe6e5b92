/**
 * ETHER on activations: y = H̃(W(Hx)) + b (arXiv 2405.20271, §3.1), which leaves the matrix alone.
 *
 * A token is a row, so that both sides act along rows. H is symmetric; a rotation, W·Q or Q·W, acts on a row as Qᵀ. In
 * the reference layout block r(i, j) is for W's row i: there is one Hx for each group of output features.
 */
import type { Adapter } from "../../adapters/adapter.ts";
import { checkTargetModules } from "../../adapters/target_modules.ts";
import { EtherError } from "../../error.ts";
import type { ActivationPart, CompiledActivations } from "../activation.ts";
import type { ActivationOptions } from "../method.ts";
import type { OpSpec, Region } from "../op.ts";
import { checkStrength, checkValues } from "./compile.ts";
import { type EtherConfig, readEtherConfig, type Side } from "./config.ts";
import { type EtherModule, readModules } from "./modules.ts";
import { reflectionByteLength } from "./reflection.ts";
import { partRegion } from "./regions.ts";
import { rotationByteLength } from "./rotation.ts";
import { type Blocks, ETHER, type EtherSpec } from "./spec.ts";

/** A compiled Op's activations; not of one that undoes an adapter. */
export function etherActivation(spec: EtherSpec): ActivationPart {
  if (spec.kind === "reflection" && spec.inverse !== undefined) throw new TypeError("an inverse acts on weights only");
  const { region, conv1d } = spec;
  const [input, output] = conv1d ? [spec.down, spec.along] : [spec.along, spec.down];
  const featureCount = conv1d ? region.columnCount : region.rowCount;
  return activationPart(spec, {
    ...{ input, output, featureCount, matrixFeatureCount: null },
    features: conv1d ? [{ start: 0, count: featureCount }] : region.runs,
  });
}

/** @throws {EtherError} every code of an adapter that needs no base */
export async function compileEtherActivations(
  adapter: Adapter,
  options: ActivationOptions,
): Promise<CompiledActivations> {
  const config = readEtherConfig(adapter);
  const strength = config.strength * options.strength;
  checkStrength(adapter, config, strength, options.strength);
  const modules = readModules(adapter, config);
  const warnings = [...config.warnings, ...await checkTargetModules(adapter, config.targetModules, modules)];
  if (await checkValues(adapter, modules, options)) {
    warnings.push(`${adapter.fileName}: every v is ±u: the adapter is the identity, as before training`);
  }
  const byPath = new Map<string, ActivationPart[]>();
  for (const module of modules) {
    const parts = byPath.get(module.path) ?? [];
    byPath.set(module.path, parts);
    if (strength !== 0) parts.push(partOf(adapter, config, module, strength));
  }
  return { modules: byPath, warnings };
}

function partOf(adapter: Adapter, config: EtherConfig, module: EtherModule, strength: number): ActivationPart {
  const place = { file: adapter.fileName, tensor: module.tensorName };
  const blocksOf = (side: Side): Blocks | null => {
    const tensors = module.sides.get(side);
    if (tensors === undefined) return null;
    const map = side === "in" && config.layout === "reference" ? "flat" : "split";
    return { map, numBlocks: config.numBlocks, ...tensors };
  };
  const [input, output] = [blocksOf("in"), blocksOf("out")];
  const ofOutput = output === null ? null : output.numBlocks * output.blockLength;
  const { variant, part, fused } = module;
  // Only these fields of a spec mean something on activations.
  const kind = variant === "oft"
    ? { kind: "rotation" as const, transposed: false }
    : variant === "ether"
    ? { kind: "reflection" as const, alpha: Math.fround(2 * strength), beta: 0 }
    : { kind: "reflection" as const, alpha: Math.fround(strength), beta: Math.fround(strength) };
  const source = { label: variant, conv1d: false, ...kind };
  if (part === null) {
    const counts = { featureCount: ofOutput, matrixFeatureCount: ofOutput };
    return activationPart(source, { input, output, features: "all", ...counts });
  }

  const rowCount = (fused!.numHeads + 2 * fused!.numQueryGroups) * fused!.headSize;
  const region = partRegion(fused!, part, rowCount, 0, { ...place, file: adapter.configName });
  if (ofOutput !== null && ofOutput !== region.rowCount) {
    const message = `${output!.numBlocks} blocks of ${
      output!.blockLength
    } do not tile the out side's ${region.rowCount}`;
    throw new EtherError("bad_blocks", message, { ...place, tensor: output!.u.name, field: "num_blocks" });
  }
  const counts = { featureCount: region.rowCount, matrixFeatureCount: rowCount };
  return activationPart(source, { input, output, features: region.runs, ...counts });
}

/** What the two ways to an {@link ActivationPart} know. */
interface Sides extends Pick<ActivationPart, "features" | "featureCount" | "matrixFeatureCount"> {
  readonly input: Blocks | null;
  readonly output: Blocks | null;
}

/** What of a spec says which transformation it is. */
type Transformation =
  & { readonly label: string; readonly conv1d: boolean }
  & (
    | { readonly kind: "reflection"; readonly alpha: number; readonly beta: number }
    | { readonly kind: "rotation"; readonly transposed: boolean }
  );

function activationPart(
  source: Transformation,
  { input, output, features, featureCount, matrixFeatureCount }: Sides,
): ActivationPart {
  const varies = input !== null && input.map === "flat" && input.numBlocks > 1;
  return {
    ...{ features, featureCount, matrixFeatureCount, storedInOut: source.conv1d, inputVaries: varies },
    input: input === null ? null : rowSpec(source, input, featureCount ?? 1),
    output: output === null ? null : rowSpec(source, output, 1),
    outputGroup: output === null ? 1 : output.blockLength,
    inputRunEnd: (feature) => varies ? flatRunEnd(input.numBlocks, featureCount!, feature) : Infinity,
  };
}

/** One side as an Op along rows of activations. `regionRows` is W's, for the flat map. */
function rowSpec(source: Transformation, blocks: Blocks, regionRows: number): OpSpec {
  const columnCount = blocks.numBlocks * blocks.blockLength;
  const region: Region = { runs: [{ start: 0, count: regionRows }], rowCount: regionRows, columnCount };
  const shared = {
    ...{ method: ETHER, region, label: source.label, groupNeed: "nothing" as const, groupRows: regionRows },
    ...{ sketchLength: 0, along: blocks, down: null, conv1d: false },
  };
  const spec: EtherSpec = source.kind === "rotation"
    ? {
      ...{ ...shared, kind: "rotation", tileDtypes: [] },
      // What acts from the left of a column acts on a row as its transpose.
      transposed: source.transposed === source.conv1d,
      stateByteLength: rotationByteLength(blocks, null),
    }
    : {
      ...{ ...shared, kind: "reflection", tileDtypes: ["F32"], alpha: source.alpha, beta: source.beta },
      stateByteLength: reflectionByteLength(region, blocks, null),
    };
  return spec;
}

/** The end of the features, from one on, whose chunks all have the same blocks: ⌊(i·numBlocks + j) / features⌋. */
function flatRunEnd(numBlocks: number, featureCount: number, feature: number): number {
  const block = Math.floor(feature * numBlocks / featureCount);
  // Whole rows whose last chunk still has that block.
  const end = Math.floor((block + 1) * featureCount / numBlocks);
  return Math.max(feature + 1, end);
}
