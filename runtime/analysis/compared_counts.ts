/** What other methods would train on an adapter's targets. */
import type { Adapter } from "../adapters/adapter.ts";
import { readEtherConfig } from "../methods/ether/config.ts";
import { readModules } from "../methods/ether/modules.ts";
import { ETHER } from "../methods/ether/spec.ts";
import { loraCount, oftCount, type TargetShape } from "./counts.ts";

/** The rank of LoRA that adapters are held against. */
export const LORA_RANK = 8;

/** Counts over all targets. */
export interface ComparedCounts {
  /** LoRA of rank {@link LORA_RANK}; null where a target's other side is not known. */
  readonly lora: number | null;
  /** OFT on the input side, in the adapter's number of blocks; null where that side is not known or not tiled by them. */
  readonly oft: { readonly numBlocks: number; readonly half: number; readonly skew: number } | null;
}

/** A target of which an adapter alone may know one side. */
type PartlyKnown = Readonly<Record<keyof TargetShape, number | null>>;

/** What the adapter's own tensors tell: a side that it acts on has a known length. */
export function comparedCounts(adapter: Adapter): ComparedCounts {
  if (adapter.peftType !== ETHER) return { lora: null, oft: null };
  const config = readEtherConfig(adapter);
  const targets = new Map<string, PartlyKnown>();
  for (const { path, part, sides } of readModules(adapter, config)) {
    const length = (side: "in" | "out") => {
      const tensors = sides.get(side);
      return tensors === undefined ? null : config.numBlocks * tensors.blockLength;
    };
    // The parts of a fused matrix share its input; how long its output is, only the base knows.
    targets.set(path, { in: length("in") ?? targets.get(path)?.in ?? null, out: part === null ? length("out") : null });
  }
  return countsOf([...targets.values()], config.numBlocks);
}

/** The same where the base tells every shape. */
export function comparedCountsWithin(adapter: Adapter, targets: readonly TargetShape[]): ComparedCounts {
  return countsOf(targets, adapter.peftType === ETHER ? readEtherConfig(adapter).numBlocks : null);
}

function countsOf(targets: readonly PartlyKnown[], numBlocks: number | null): ComparedCounts {
  const known = targets.filter((target): target is TargetShape => target.in !== null && target.out !== null);
  const inputs = targets.map((target) => target.in).filter((length) => length !== null);
  const tiled = inputs.length === targets.length && numBlocks !== null &&
    inputs.every((length) => length % numBlocks === 0);
  const sum = (counts: readonly number[]) => counts.reduce((a, b) => a + b, 0);
  return {
    lora: known.length === targets.length ? sum(known.map((target) => loraCount(target, LORA_RANK))) : null,
    oft: tiled
      ? {
        numBlocks,
        half: sum(inputs.map((length) => oftCount(length, numBlocks, "half"))),
        skew: sum(inputs.map((length) => oftCount(length, numBlocks, "skew"))),
      }
      : null,
  };
}
