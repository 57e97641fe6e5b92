/** The order in which rows of W go by, and which inputs they multiply on the way. */
import type { Frame, Product } from "./frames.ts";

/** Features of a frame and of all that it is made of. */
export function rowsOf({ rowCount, children }: Frame): number {
  return children.reduce((sum, { frame }) => sum + rowsOf(frame), rowCount);
}

/** A product and the frame that it is for. */
export interface FrameProduct {
  readonly frame: Frame;
  readonly product: Product;
}

export function productsOf(frame: Frame): FrameProduct[] {
  const own = frame.products.map((product) => ({ frame, product }));
  return [...own, ...frame.children.flatMap((child) => productsOf(child.frame))];
}

/** Adjacent rows of W that multiply the same inputs. */
export interface Segment<T> {
  readonly start: number;
  readonly end: number;
  readonly active: readonly T[];
}

/** Rows of W from first to last, each with the products that it has a part in, in the order given. */
export function* segmentsOf<T extends { readonly product: Product }>(products: readonly T[]): Generator<Segment<T>> {
  const events = new Map<number, { starts: number[]; ends: number[] }>();
  const at = (row: number) => {
    const event = events.get(row) ?? { starts: [], ends: [] };
    events.set(row, event);
    return event;
  };
  for (const [index, { product }] of products.entries()) {
    for (const { start, count } of product.rows) {
      at(start).starts.push(index);
      at(start + count).ends.push(index);
    }
  }
  const rows = [...events.keys()].sort((a, b) => a - b);
  const active = new Set<number>();
  for (const [i, start] of rows.entries()) {
    const { starts, ends } = events.get(start)!;
    for (const index of ends) active.delete(index);
    for (const index of starts) active.add(index);
    if (active.size === 0) continue;
    const sorted = [...active].sort((a, b) => a - b);
    yield { start, end: rows[i + 1]!, active: sorted.map((index) => products[index]!) };
  }
}

/** The most products that any row has a part in. */
export function widestOf(products: readonly FrameProduct[]): number {
  let widest = 0;
  for (const { active } of segmentsOf(products)) widest = Math.max(widest, active.length);
  return widest;
}
