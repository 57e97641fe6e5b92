import type { EtherConfig } from "./config.ts";

/** What a listing and the manifest say of an ETHER adapter. */
export function etherFacts(config: EtherConfig, strength: number): Record<string, unknown> {
  return {
    strength,
    variant: config.variant,
    sides: config.sides,
    num_blocks: config.numBlocks,
    layout: config.layout,
  };
}
