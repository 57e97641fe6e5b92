// Runs in the page: draws the pictures with uPlot, each when it comes into view.
const { layers } = JSON.parse(document.getElementById("data").textContent);

const COLOURS = ["#0b6bcb", "#d1480f", "#1a7f5a", "#8a3ffc", "#b8860b", "#c2255c", "#495057", "#0c8599"];

// Every name that a target has in some layer, with one colour throughout.
const names = [...new Set(layers.flatMap(({ targets }) => targets.map(({ name }) => name)))];
const colourOf = (name) => COLOURS[names.indexOf(name) % COLOURS.length];

const WIDTH = 580;

const short = (value) => value === null || value === undefined ? "–" : Number(value.toPrecision(3)).toString();

// `ticks` are the steps that the x axis may take; uPlot's own where there are none.
function draw(place, { title, x, xLabel, lines, points, ticks }) {
  const options = {
    title,
    width: WIDTH,
    height: 240,
    scales: { x: { time: false }, y: { range: (_, low, high) => range(low, high) } },
    axes: [
      { label: xLabel, labelSize: 18, size: 34, ...ticks && { incrs: ticks } },
      { size: 64, values: (_, ticks) => ticks.map(short) },
    ],
    series: [
      { label: xLabel, value: (_, value) => short(value) },
      ...lines.map(({ name }) => ({
        label: name,
        stroke: colourOf(name),
        width: 1.5,
        points: { show: points },
        value: (_, value) => short(value),
      })),
    ],
  };
  new uPlot(options, [x, ...lines.map(({ values }) => values)], place);
}

// From zero, so that heights can be compared; below it where there is something.
function range(low, high) {
  if (low === null || high === null || (low === 0 && high === 0)) return [0, 1];
  return [Math.min(0, low * 1.05), Math.max(0, high * 1.05)];
}

function whenSeen(element, action) {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
    observer.disconnect();
    action();
  }, { rootMargin: "600px" });
  observer.observe(element);
}

function place(parent) {
  const element = document.createElement("div");
  element.className = "picture";
  parent.append(element);
  return element;
}

function drawOverview() {
  const overview = document.getElementById("overview");
  const kinds = [
    ["change", "‖W′−W‖ / ‖W‖"],
    ["energy", "relative change of hyperspherical energy"],
    ["angle", "angle between u and v, degrees"],
  ];
  for (const [field, title] of kinds) {
    const lines = names.map((name) => ({
      name,
      values: layers.map(({ targets }) => targets.find((target) => target.name === name)?.[field] ?? null),
    })).filter(({ values }) => values.some((value) => value !== null));
    if (lines.length === 0) continue;
    const x = layers.map((_, index) => index);
    draw(place(overview), { title, x, xLabel: "layer", lines, points: true, ticks: [1, 2, 5, 10, 20, 50] });
  }
}

function drawLayer({ name, targets }) {
  const heading = document.createElement("h3");
  heading.textContent = name;
  const row = document.createElement("div");
  row.className = "row";
  document.getElementById("layers").append(heading, row);
  for (const [side, title] of [["in", "along the input"], ["out", "along the output"]]) {
    const element = place(row);
    whenSeen(element, () => {
      // Lines of different lengths on one axis, in percent of the dimension.
      const positions = (length) => Array.from({ length }, (_, i) => 100 * (i + 0.5) / length);
      const x = [...new Set(targets.flatMap(({ profile }) => positions(profile[side].length)))].sort((a, b) => a - b);
      const lines = targets.toSorted((a, b) => names.indexOf(a.name) - names.indexOf(b.name)).map((target) => {
        const values = new Map(positions(target.profile[side].length).map((at, i) => [at, target.profile[side][i]]));
        return { name: target.name, values: x.map((at) => values.get(at) ?? null) };
      });
      draw(element, { title, x, xLabel: "% of the dimension", lines, points: false });
    });
  }
}

drawOverview();
layers.forEach(drawLayer);
