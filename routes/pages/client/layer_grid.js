/** An adapter's layers as a grid: a row for each kind of module and side, a column for each layer. */

/** What a cell can show of a side. */
export const MEASURES = [
  { id: "distance", name: "‖H − I‖ of the side", unit: "", of: ({ distance }) => distance },
  { id: "block-mean", name: "‖H − I‖ of a block, mean", unit: "", of: ({ block_distance }) => block_distance.mean },
  { id: "block-max", name: "‖H − I‖ of a block, largest", unit: "", of: ({ block_distance }) => block_distance.max },
  { id: "angle", name: "angle between u and v, mean", unit: "°", of: ({ angle }) => angle?.mean },
];

/** Values that differ by less than this part are one value. */
const ALIKE = 1e-6;

/**
 * @param layers   as `GET /v1/adapters/{id}` has them
 * @param measure  one of {@link MEASURES}
 * @returns rows and columns by name, a cell for each (row, column) that there is, and the values of the lightest and
 *   the darkest shade
 */
export function layerGrid(layers, measure) {
  const rows = new Map();
  const columns = new Set();
  const stems = new Set(layers.map(({ module }) => placeOf(module).stem).filter((stem) => stem !== null));
  for (const { module, sides } of layers) {
    const { stem, layer, rest } = placeOf(module);
    // One stack of layers is what models have; where there are several, a row says whose it is.
    const kind = stem !== null && stems.size > 1 ? `${stem}.*.${rest}` : rest;
    for (const side of sides) {
      const value = measure.of(side);
      if (typeof value !== "number") continue;
      columns.add(layer);
      const name = `${kind} · ${side.side}`;
      if (!rows.has(name)) rows.set(name, new Map());
      const row = rows.get(name);
      if (!row.has(layer)) row.set(layer, { modules: [], values: [] });
      row.get(layer).modules.push(module);
      row.get(layer).values.push(value);
    }
  }
  // Modules that are in no layer come last.
  const order = [...columns].sort((a, b) => (a === "") - (b === "") || Number(a) - Number(b));
  const cells = [...rows].flatMap(([row, found], y) =>
    [...found].map(([layer, { modules, values }]) => {
      const value = values.reduce((sum, one) => sum + one, 0) / values.length;
      return { row, layer, x: order.indexOf(layer), y, value, module: modules[0], count: values.length };
    })
  );
  const max = cells.reduce((most, { value }) => Math.max(most, value), 0);
  const min = cells.reduce((least, { value }) => Math.min(least, value), max);
  // Shades begin at 0; where all values are far from it, they would all look alike: then at the least one.
  const alike = max - min <= ALIKE * max;
  return { rows: [...rows.keys()], columns: order, cells, alike, max, floor: alike || min < max / 2 ? 0 : min };
}

/** `model.layers.3.mlp.experts.7.up_proj` is `mlp.experts.*.up_proj` of layer 3 of `model.layers`. */
function placeOf(module) {
  const parts = module.split(".");
  const at = parts.findIndex((part) => /^\d{1,6}$/.test(part));
  if (at === -1) return { stem: null, layer: "", rest: module };
  const rest = parts.slice(at + 1).map((part) => /^\d+$/.test(part) ? "*" : part).join(".");
  return { stem: parts.slice(0, at).join("."), layer: parts[at], rest };
}
