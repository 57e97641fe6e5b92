/** What an adapter does to each module, by its own vectors alone: no base is opened, no weight is read. */
import type { Adapter } from "../adapters/adapter.ts";
import type { OpenSource } from "../io/folder.ts";
import { methodOf } from "../methods/registry.ts";
import { isEtherSpec, type SideGeometry, sideGeometry } from "./side_geometry.ts";

/** One side of one module, or of one part of a fused one. */
export interface LayerSide extends Omit<SideGeometry, "direction" | "op"> {
  /** Values of the side's vectors: `in` or `out` of W `[out, in]`. */
  readonly dimension: number;
}

/** One module. */
export interface AdapterLayer {
  /** As the adapter names it, without `.weight`. */
  readonly module: string;
  /** Its sides, `in` before `out`; those of each part of a fused matrix one after the other. */
  readonly sides: readonly LayerSide[];
}

/**
 * Reads every vector of an adapter. Its config's own strength counts, at a strength of 1 asked for.
 *
 * @throws {EtherError} every code of an adapter that needs no base
 */
export async function adapterLayers(
  adapter: Adapter,
  openSource: OpenSource,
  signal?: AbortSignal,
): Promise<AdapterLayer[]> {
  const { modules } = await methodOf(adapter).compileActivations(adapter, { strength: 1, openSource, signal });
  const layers: AdapterLayer[] = [];
  for (const [module, parts] of modules) {
    const sides: LayerSide[] = [];
    for (const part of parts) {
      for (const spec of [part.input, part.output]) {
        if (spec === null || !isEtherSpec(spec)) continue;
        signal?.throwIfAborted();
        for (const { direction: _, op: _op, ...measured } of await sideGeometry(spec, openSource)) {
          sides.push({ ...measured, dimension: spec.region.columnCount });
        }
      }
    }
    layers.push({ module, sides });
  }
  return layers;
}
