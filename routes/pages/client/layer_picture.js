/** Draws a grid of layers. */
import { drawn, table } from "./dom.js";

const ROW_HEIGHT = 24;
const MAX_LABEL = 34;
const CHARACTER = 7.3;

/** A value as cells show it. */
function shown(value, unit) {
  return (value >= 1000 ? String(Math.round(value)) : value.toPrecision(3)) + unit;
}

/** Of a mark: 1 for the largest value, little for the least. */
function shadeOf(value, { floor, max }) {
  return (0.06 + 0.94 * (max > floor ? (value - floor) / (max - floor) : 1)).toFixed(3);
}

/** The grid as a picture that is at most `room` pixels wide, where cells can still be seen then. */
export function layerPicture(grid, { name, unit }, room) {
  const { rows, columns, cells, max } = grid;
  const left = Math.min(MAX_LABEL, Math.max(...rows.map((row) => row.length))) * CHARACTER + 12;
  const width = Math.round(Math.max(14, Math.min(72, (room - left - 8) / columns.length)));
  const total = Math.ceil(left + width * columns.length + 8);
  const bottom = rows.length * ROW_HEIGHT + 8;
  const picture = drawn("svg", {
    ...{ role: "img", class: "layers", width: total, height: bottom + 34, viewBox: `0 0 ${total} ${bottom + 34}` },
    "aria-label": `${name}: ${rows.length} kinds of modules in ${columns.length} layers, up to ${shown(max, unit)}`,
  });
  rows.forEach((row, y) => {
    const label = row.length > MAX_LABEL ? `…${row.slice(1 - MAX_LABEL)}` : row;
    picture.append(drawn(
      ...["text", { x: left - 8, y: y * ROW_HEIGHT + 16, class: "row" }],
      drawn("title", {}, row),
      label,
    ));
  });
  // Numbers of layers, as many as have room.
  const step = Math.ceil(26 / width);
  columns.forEach((layer, x) => {
    if (x % step !== 0) return;
    picture.append(drawn("text", { x: left + (x + 0.5) * width, y: bottom + 10, class: "column" }, layer || "–"));
  });
  picture.append(drawn("text", { x: left, y: bottom + 28, class: "axis" }, "layer"));
  for (const { x, y, row, layer, value, module, count } of cells) {
    const shade = shadeOf(value, grid);
    const place = { x: left + x * width + 1, y: y * ROW_HEIGHT + 1, width: width - 2, height: ROW_HEIGHT - 2, rx: 2 };
    const cell = drawn("g", { class: "cell", "data-row": row, "data-layer": layer });
    const about = count > 1 ? `${module} and ${count - 1} more` : module;
    cell.append(
      drawn("title", {}, `${about}, ${row.split(" · ").at(-1)}: ${shown(value, unit)}`),
      drawn("rect", { ...place, class: "ground" }),
      drawn("rect", { ...place, class: "mark", "fill-opacity": shade }),
    );
    if (width >= 40) {
      const tone = shade > 0.55 ? "value strong" : "value";
      cell.append(
        drawn("text", { x: left + (x + 0.5) * width, y: y * ROW_HEIGHT + 16, class: tone }, shown(value, unit)),
      );
    }
    picture.append(cell);
  }
  return picture;
}

/** The grid in numbers. */
export function layerNumbers({ rows, columns, cells }, { name, unit }) {
  const values = new Map(cells.map(({ x, y, value }) => [`${x} ${y}`, shown(value, unit)]));
  const headings = ["module · side", ...columns.map((layer) => layer === "" ? "–" : `layer ${layer}`)];
  return table(name, headings, rows.map((row, y) => [row, ...columns.map((_, x) => values.get(`${x} ${y}`) ?? "")]));
}

/** What the shades mean. */
export function layerScale({ floor, max }, { unit }) {
  const values = max > floor ? [0, 0.25, 0.5, 0.75, 1].map((part) => floor + part * (max - floor)) : [max];
  const width = values.length * 50;
  const picture = drawn("svg", { role: "img", class: "scale", width, height: 38, viewBox: `0 0 ${width} 38` });
  picture.setAttribute("aria-label", `Shades from ${shown(values[0], unit)} to ${shown(max, unit)}`);
  values.forEach((value, at) => {
    const place = { x: at * 50, y: 0, width: 50, height: 16 };
    picture.append(
      drawn("rect", { ...place, class: "ground" }),
      drawn("rect", { ...place, class: "mark", "fill-opacity": shadeOf(value, { floor, max }) }),
      drawn("text", { x: at * 50 + 25, y: 32, class: "column" }, shown(value, unit)),
    );
  });
  return picture;
}
