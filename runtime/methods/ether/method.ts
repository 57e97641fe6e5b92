/** ETHER, ETHER+ and their dense relative: arXiv 2405.20271. */
import type { Adapter } from "../../adapters/adapter.ts";
import { checkTargetModules } from "../../adapters/target_modules.ts";
import type { FloatDtype } from "../../safetensors/dtype.ts";
import type { ActivationPart } from "../activation.ts";
import type { AdapterDescription, Method } from "../method.ts";
import type { Op, OpSpec } from "../op.ts";
import type { Workshop } from "../workshop.ts";
import { compileEtherActivations, etherActivation } from "./activation.ts";
import { compileEther } from "./compile.ts";
import { readEtherConfig } from "./config.ts";
import { etherFacts } from "./facts.ts";
import { readModules } from "./modules.ts";
import { prepareReflection } from "./reflection.ts";
import { prepareRotation } from "./rotation.ts";
import { ETHER, type EtherSpec } from "./spec.ts";

/** The method of `peft_type: "ETHER"`. */
export const etherMethod: Method = {
  peftTypes: [ETHER],
  describe,
  compile: compileEther,
  activation: (spec: OpSpec): ActivationPart => etherActivation(spec as EtherSpec),
  compileActivations: compileEtherActivations,
  prepare(spec: OpSpec, shop: Workshop, dtype: FloatDtype): Promise<Op> {
    const ether = spec as EtherSpec;
    return ether.kind === "reflection" ? prepareReflection(ether, shop, dtype) : prepareRotation(ether, shop, dtype);
  },
};

async function describe(adapter: Adapter): Promise<AdapterDescription> {
  const config = readEtherConfig(adapter);
  const modules = readModules(adapter, config);
  return {
    facts: {
      ...etherFacts(config, config.strength),
      per_tensor_sides: config.perTensorSides,
      fan_in_fan_out: config.fanInFanOut,
      target_modules: config.targetModules,
    },
    modules: [...new Set(modules.map(({ path }) => path))],
    parameterCount: adapter.header.tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    warnings: [...config.warnings, ...await checkTargetModules(adapter, config.targetModules, modules)],
  };
}
