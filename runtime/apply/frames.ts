/**
 * What has to be multiplied for y = W'x without making W'.
 *
 * With W' = H̃ₖ(…H̃₁(W∘H₁)…∘Hₖ), an input side ∘H may give different output features different Hx (the reference layout,
 * parts of a fused matrix), and an output side mixes features. Where each side stays within what the other keeps
 * together they commute: then there is one {@link Frame}, y itself, and every row of W is multiplied once. Where an
 * earlier output side reaches across, each Hx needs a frame of its own with all the features that are mixed, and rows of
 * W are multiplied by several inputs while they are at hand.
 */
import { EtherError } from "../error.ts";
import type { ActivationPart } from "../methods/activation.ts";
import type { OpSpec, RowRun } from "../methods/op.ts";
import { countOf, joined, ofPart, within, without } from "./runs.ts";

/** A chain whose frames hold more than this many times the layer's features is not worth it. */
const MAX_GROWTH = 1024;

/** One input side on the way from x to an input of the matrix. */
export interface InputStep {
  readonly op: OpSpec;
  /** The part's feature that it is for. */
  readonly feature: number;
}

/** Some rows of W, and the input that they multiply. */
export interface Product {
  readonly rows: readonly RowRun[];
  /** From x on, in order of application. */
  readonly steps: readonly InputStep[];
  /** The same for equal inputs of one chain. */
  readonly key: string;
}

/** Values of some output features, and how they come about. */
export interface Frame {
  readonly rows: readonly RowRun[];
  readonly rowCount: number;
  /** What the matrix brings. */
  readonly products: readonly Product[];
  /** What other frames bring: these of their rows. */
  readonly children: readonly { readonly frame: Frame; readonly rows: readonly RowRun[] }[];
  /** Then, in order of application. */
  readonly outputs: readonly ActivationPart[];
}

/** Parts of one adapter, on one matrix. */
export type AdapterParts = readonly ActivationPart[];

/**
 * The frame of all output features under a chain of adapters, in order of application.
 *
 * @throws {EtherError} `unsupported` for a chain that would multiply the matrix more than a thousand times
 */
export function planFrames(chain: readonly AdapterParts[], featureCount: number): Frame {
  const budget = { left: featureCount * MAX_GROWTH };
  const all = [{ start: 0, count: featureCount }];
  return makeFrame(chain, chain.length, { rows: all, steps: [], key: "" }, all, budget);
}

/** The frame of `rows` after `stageCount` adapters, where `wanted` gives its input; `rows` may be more than wanted. */
function makeFrame(
  chain: readonly AdapterParts[],
  stageCount: number,
  { steps, key }: Product,
  rows: readonly RowRun[],
  budget: { left: number },
): Frame {
  const rowCount = countOf(rows);
  budget.left -= rowCount;
  if (budget.left < 0) {
    const hint = "merge the adapters; their sides mix what the others keep apart";
    throw new EtherError("unsupported", "this chain of adapters takes too many products", { hint });
  }
  let products: Product[] = [{ rows, steps, key }];
  const outputs: ActivationPart[] = [];
  for (let stage = stageCount; stage > 0; stage--) {
    const parts = chain[stage - 1]!;
    const closed = products.map((product) => closure(product.rows, parts));
    if (closed.some((wide, i) => countOf(wide) > countOf(products[i]!.rows))) {
      const children = products.map((product, i) => {
        return { frame: makeFrame(chain, stage, product, closed[i]!, budget), rows: product.rows };
      });
      return { rows, rowCount, products: [], children, outputs };
    }
    outputs.unshift(...parts.filter(({ output }) => output !== null));
    products = products.flatMap((product) => split(product, parts, stage));
  }
  return { rows, rowCount, products, children: [], outputs };
}

/** Some features with all those that an adapter's output side mixes with them. */
function closure(rows: readonly RowRun[], parts: AdapterParts): RowRun[] {
  const wide = [...rows];
  for (const { features, output, outputGroup } of parts) {
    if (output === null || features === "all") continue;
    for (const { inPart, count } of within(features, rows)) {
      const first = Math.floor(inPart / outputGroup) * outputGroup;
      const last = Math.ceil((inPart + count) / outputGroup) * outputGroup;
      wide.push(...ofPart(features, { start: first, count: last - first }));
    }
  }
  return joined(wide);
}

/** A product's rows by the input that an adapter's input side gives them. */
function split(product: Product, parts: AdapterParts, stage: number): Product[] {
  const found: Product[] = [];
  let rest = product.rows;
  for (const [index, part] of parts.entries()) {
    const { input, features } = part;
    if (input === null || features === "all") continue;
    const byRun = new Map<number, { feature: number; rows: RowRun[] }>();
    for (const { start, inPart, count } of within(features, rest)) {
      for (let done = 0; done < count;) {
        const feature = inPart + done;
        const end = part.inputRunEnd(feature);
        const rows = byRun.get(end) ?? { feature, rows: [] };
        byRun.set(end, rows);
        const size = Math.min(count - done, end - feature);
        rows.rows.push({ start: start + done, count: size });
        done += size;
      }
    }
    for (const [end, { feature, rows }] of byRun) {
      const steps = [...product.steps, { op: input, feature }];
      found.push({ rows: joined(rows), steps, key: `${product.key}/${stage}:${index}:${end}` });
    }
    rest = without(rest, joined([...features]));
  }
  return rest.length === 0 ? found : [...found, { ...product, rows: rest }];
}
