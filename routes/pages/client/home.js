/** Fills the page with what the server has. */
import { addAdapter, startBuilder } from "./builder.js";
import { clientLines } from "./client_lines.js";
import { byId, copyButton, element, formatBytes, formatCount, table } from "./dom.js";
import { layerGrid, MEASURES } from "./layer_grid.js";
import { layerNumbers, layerPicture, layerScale } from "./layer_picture.js";
import { ask, hasToken, Refusal, rootOf, useToken } from "./server.js";

/** Between two looks at a server that is not ready. */
const AGAIN_MILLISECONDS = 2000;

/** Adapters whose details are asked for before someone looks at one. */
const DESCRIBED_AT_ONCE = 24;

/** Adapters that can be drawn, and what was said of each, by its id and digest. */
let drawable = [];
const details = new Map();

for (const link of document.querySelectorAll("a[data-to]")) link.href = rootOf(location) + link.dataset.to;
byId("access").onsubmit = (event) => {
  event.preventDefault();
  useToken(byId("token").value.trim());
  load();
};
await load();

async function load() {
  try {
    const state = await ask("readyz", undefined, [503]);
    showState(state);
    const [models, adapters] = await Promise.all([ask("v1/models"), ask("v1/adapters")]);
    showAccess(null);
    showModels(models.data);
    await showAdapters(adapters.data);
    startBuilder(models.data, adapters.data, showClients);
    startPicture(adapters.data.filter(({ error }) => error === undefined));
    if (!state.ready) setTimeout(load, AGAIN_MILLISECONDS);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.status === 401 || error.status === 403) return showAccess(error);
    byId("state").textContent = error.message;
  }
}

function showState({ ready, models, identified, failed }) {
  byId("state").textContent = ready ? "ready" : `reading its models: ${identified} of ${models}`;
  byId("state").dataset.state = failed > 0 ? "failed" : ready ? "ready" : "busy";
  if (failed > 0) byId("state").append(`, ${failed} cannot be served`);
}

/** Without access no name is shown. */
function showAccess(refusal) {
  byId("access").hidden = refusal === null && !hasToken();
  byId("content").hidden = refusal !== null;
  byId("refused").textContent = refusal === null || !hasToken() ? "" : refusal.message;
  if (refusal !== null) byId("token").focus();
}

function showModels(models) {
  const rows = models.map(({ id, commit }) => [
    element("code", {}, id),
    commit === null ? "not known yet" : element("span", { class: "hash", title: commit }, commit.slice(0, 12)),
  ]);
  byId("models").replaceChildren(
    rows.length === 0 ? noteOf("No bases yet.") : table("Bases", ["base", "commit"], rows),
  );
}

async function showAdapters(adapters) {
  const whole = adapters.filter(({ error }) => error === undefined);
  await Promise.all(whole.slice(0, DESCRIBED_AT_ONCE).map((adapter) => detailsOf(adapter).catch(() => null)));
  const rows = adapters.map((adapter) => {
    const { id, base, error } = adapter;
    const name = element("code", {}, id);
    if (error !== undefined) {
      return [name, element("td", { class: "wrong", colspan: 5 }, `${error.code}: ${error.message}`)];
    }
    const { variant = "", sides = "", layout, num_blocks: blocks } = details.get(keyOf(adapter))?.facts ?? {};
    return [
      ...[name, `${adapter.peft_type} ${listed(variant)}`.trim(), listed(sides)],
      [typeof layout === "string" ? layout : "", blocks === undefined ? "" : `${blocks} blocks`].filter(Boolean).join(
        ", ",
      ),
      element("span", { title: formatBytes(adapter.bytes) }, formatCount(adapter.parameters)),
      base ?? "any that fits",
    ];
  });
  const headings = ["adapter", "method", "sides", "layout", "parameters", "base"];
  byId("adapters").replaceChildren(
    rows.length === 0 ? noteOf("No adapters yet.") : table("Adapters", headings, rows),
  );
}

/** Facts are what a config says: any JSON. */
function listed(fact) {
  return Array.isArray(fact) ? fact.join(", ") : String(fact);
}

async function detailsOf(adapter) {
  const key = keyOf(adapter);
  if (!details.has(key)) details.set(key, await ask(`v1/adapters/${encodeURIComponent(adapter.id)}`));
  return details.get(key);
}

/** Of an adapter that is replaced it is another one. */
function keyOf({ id, digest }) {
  return `${id} ${digest}`;
}

function showClients({ repo, revision, files }) {
  const file = files.find(({ path }) => path.endsWith(".safetensors"))?.path ?? files[0]?.path ?? "config.json";
  const endpoint = byId("endpoint").dataset.url || rootOf(location).slice(0, -1);
  const lines = clientLines({ endpoint, repo, revision, file, needsToken: hasToken() });
  byId("endpoint").textContent = endpoint;
  byId("clients").replaceChildren(...lines.map(({ name, note, text }) =>
    element(
      ...["figure", {}, element("figcaption", {}, element("h3", {}, name), copyButton(name, () => text))],
      element("p", { class: "note" }, note),
      element("pre", { tabindex: 0, role: "region", "aria-label": name }, element("code", {}, text)),
    )
  ));
}

function startPicture(adapters) {
  drawable = adapters;
  byId("layers").hidden = drawable.length === 0;
  if (drawable.length === 0) return;
  const last = byId("drawn").value;
  byId("drawn").replaceChildren(
    ...adapters.map(({ id }) => element("option", { value: id, selected: id === last }, id)),
  );
  byId("use").onclick = () => {
    addAdapter(byId("drawn").value);
    byId("builder").scrollIntoView();
  };
  byId("drawn").onchange = byId("measure").onchange = showPicture;
  showPicture();
}

async function showPicture() {
  const id = byId("drawn").value;
  const note = (text, kind = "note") => byId("picture").replaceChildren(element("p", { class: kind }, text));
  let adapter;
  try {
    adapter = await detailsOf(drawable.find((one) => one.id === id));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return note(error.message, "wrong");
  }
  if (id !== byId("drawn").value) return;
  const measures = MEASURES.filter((measure) => layerGrid(adapter.layers, measure).cells.length > 0);
  if (measures.length === 0) return note(`${adapter.peft_type} has no vectors that say by themselves what it does.`);
  const measure = measures.find((one) => one.id === byId("measure").value) ?? measures[0];
  byId("measure").replaceChildren(
    ...measures.map((one) => element("option", { value: one.id, selected: one === measure }, one.name)),
  );
  const grid = layerGrid(adapter.layers, measure);
  byId("picture").replaceChildren();
  byId("picture").append(
    element(
      ...["div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Picture of the layers" }],
      layerPicture(grid, measure, byId("picture").clientWidth),
    ),
    layerScale(grid, measure),
    ...grid.alike && grid.cells.length > 1 ? [noteOf("All alike: these differ in where to, not in how far.")] : [],
    ...adapter.warnings.map(noteOf),
    element("details", {}, element("summary", {}, "The same in numbers"), layerNumbers(grid, measure)),
  );
}

function noteOf(text) {
  return element("p", { class: "note" }, text);
}
