/** The page's text, all but its first lines. Names come from files of strangers: each is escaped where it goes. */
import type { TensorAnalysis } from "../../runtime/analysis/analyse_plan.ts";
import { analysisTable, angleOf } from "../inspect_analysis.ts";
import { countLines } from "../inspect_adapter.ts";
import { formatCount, formatCounted } from "../units.ts";
import type { PageContent } from "./write_page.ts";

/** What is inlined. */
export interface PageAssets {
  readonly scripts: readonly string[];
  readonly styles: readonly string[];
}

/** Renders a page; `draw.js` draws the pictures from its JSON document. */
export function renderPage(content: PageContent, { scripts, styles }: PageAssets): string {
  const { path, base, parameters, analyses } = content;
  const { columns, rows, notes } = analysisTable(analyses, null);
  const title = `${path} on ${base}`;
  const data = JSON.stringify({ layers: layersOf(analyses) }).replaceAll("<", "\\u003c");
  const cells = (tag: string, row: readonly string[]) => row.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join("");
  return [
    '<meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; ` +
    `style-src 'unsafe-inline'">`,
    '<meta name="viewport" content="width=device-width">',
    `<title>${escape(title)}</title>`,
    ...styles.map((style) => `<style>${style}</style>`),
    `<h1>${escape(title)}</h1>`,
    `<p>${formatCount(parameters)} parameters, ${formatCounted(analyses.length, "target")}. ` +
    `${escape(countLines(content).join("; "))}</p>`,
    '<h2>All layers</h2><div id="overview" class="row"></div>',
    "<h2>Layer by layer</h2>",
    "<p>How much of W changes, ‖W′−W‖/‖W‖, in stretches along its input and its output.</p>",
    '<div id="layers"></div>',
    "<h2>All targets</h2>",
    `<div class="wide"><table><thead><tr>${cells("th", columns)}</tr></thead><tbody>`,
    ...rows.map((row) => `<tr>${cells("td", row)}</tr>`),
    "</tbody></table></div>",
    ...notes.map((note) => `<p>${escape(note)}</p>`),
    `<script type="application/json" id="data">${data}</script>`,
    ...scripts.map((script) => `<script>${script.replaceAll("</script", "<\\/script")}</script>`),
    "</html>",
    "",
  ].join("\n");
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Targets under what their names share up to the last number; experts count to their layer. */
function layersOf(analyses: readonly TensorAnalysis[]): unknown[] {
  const layers = new Map<string, unknown[]>();
  for (const { name, sides, relativeNorm, energy, profile } of analyses) {
    const whole = name.replace(/\.weight$/, "");
    const layer = /^(?:.*?\.)?\d+(?=\.)/.exec(whole.replace(/^(.*)\.experts\.\d+\..*$/, "$1."))?.[0] ?? "";
    const targets = layers.get(layer) ?? [];
    layers.set(layer, targets);
    targets.push({
      name: layer === "" ? whole : whole.slice(layer.length + 1),
      ...{ change: relativeNorm, energy: energy?.relativeChange.value ?? null, angle: angleOf(sides), profile },
    });
  }
  return [...layers].map(([name, targets]) => ({ name: name || "the rest", targets }));
}
