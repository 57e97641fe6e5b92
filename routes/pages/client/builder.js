/** Choosing a base, adapters and strengths; the server says what they make. */
import { byId, copyButton, element, formatBytes, formatCount, table } from "./dom.js";
import { ask, hasToken, Refusal, rootOf } from "./server.js";

/** Names that clients are shown in one table of files; more are counted. */
const SHOWN_FILES = 200;

/** An input that is being typed into is not asked about at each key. */
const PAUSE_MILLISECONDS = 200;

/** The recipe: a list of `{ id, strength }`, in the order of application. */
let chosen = [];
let adapters = [];
let asked = 0;
let waiting;
let told = () => {};

/**
 * Shows the form for these bases and adapters.
 *
 * @param onMerge  called with what `POST /v1/merges` answered, each time that it is another
 */
export function startBuilder(models, known, onMerge) {
  [adapters, told] = [known.filter(({ error }) => error === undefined), onMerge];
  chosen = chosen.filter(({ id }) => adapters.some((adapter) => adapter.id === id));
  const base = byId("base");
  const last = base.value;
  base.replaceChildren(
    ...models.map(({ id, commit }) =>
      element("option", { value: id, selected: id === last }, commit === null ? `${id} (not ready)` : id)
    ),
  );
  base.onchange = describeRecipe;
  byId("adapter").replaceChildren(
    ...adapters.map(({ id, base }) =>
      element("option", { value: id }, base === null ? id : `${id} (made for ${base})`)
    ),
  );
  byId("add").disabled = adapters.length === 0;
  byId("recipe").onsubmit = (event) => {
    event.preventDefault();
    addAdapter(byId("adapter").value);
  };
  showParts();
  describeRecipe();
}

/** Puts an adapter at the recipe's end. */
export function addAdapter(id) {
  if (!adapters.some((adapter) => adapter.id === id)) return;
  chosen.push({ id, strength: 1 });
  showParts();
  describeRecipe();
}

function showParts() {
  byId("parts").replaceChildren(...chosen.map((part, at) => {
    const strength = element("input", {
      ...{ type: "number", min: -99.9999, max: 99.9999, step: 0.0001, required: true, value: part.strength },
      ...{ inputmode: "decimal", "aria-label": `Strength of ${part.id}, part ${at + 1}` },
      input: () => {
        if (!strength.checkValidity()) return say(strength.validationMessage, "wrong");
        part.strength = Number(strength.value);
        clearTimeout(waiting);
        waiting = setTimeout(describeRecipe, PAUSE_MILLISECONDS);
      },
    });
    const button = (name, sign, disabled, change) =>
      element("button", {
        ...{ type: "button", disabled, "aria-label": `${name} ${part.id}, part ${at + 1}` },
        click: () => {
          change();
          showParts();
          describeRecipe();
        },
      }, sign);
    return element(
      ...["li", {}, element("span", { class: "name" }, part.id), strength],
      button("Move up", "↑", at === 0, () => chosen.splice(at - 1, 2, chosen[at], chosen[at - 1])),
      button("Move down", "↓", at === chosen.length - 1, () => chosen.splice(at, 2, chosen[at + 1], chosen[at])),
      button("Remove", "×", false, () => chosen.splice(at, 1)),
    );
  }));
  byId("no-parts").hidden = chosen.length > 0;
}

/** Asks what the recipe is; of several questions the last one's answer counts. */
async function describeRecipe() {
  const base = byId("base").value;
  if (base === "") return say("There is no base to merge into.");
  const mine = ++asked;
  try {
    const [plain, merged] = await Promise.all([
      ask("v1/merges", { base, adapters: [] }),
      ask("v1/merges", { base, adapters: chosen }),
    ]);
    if (mine === asked) showMerge(plain, merged);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (mine === asked) say(error.code === "" ? error.message : `${error.code}: ${error.message}`, "wrong");
  }
}

function say(text, kind = "note") {
  byId("merge").replaceChildren(element("p", { class: kind }, text));
}

function showMerge(plain, merged) {
  const { repo, revision, commit, files } = merged;
  const bases = new Map(plain.files.map(({ path, etag }) => [path, etag]));
  const changed = files.filter(({ path, etag }) => bases.get(path) !== etag);
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const rows = files.slice(0, SHOWN_FILES).map(({ path, size, etag }) => [
    fileLink(repo, commit, path),
    formatBytes(size),
    bases.get(path) === etag ? "unchanged" : "computed",
  ]);
  const fact = (name, text) => [
    element("dt", {}, name),
    element("dd", {}, element("code", { id: name }, text), copyButton(name, () => text)),
  ];
  const more = files.length - rows.length;
  byId("merge").replaceChildren(
    element("dl", { class: "facts" }, ...fact("revision", revision), ...fact("commit", commit)),
    element(
      ...["details", { open: files.length <= 12 }],
      element("summary", {}, `${formatCount(files.length)} files, ${formatBytes(total)}, ${changed.length} computed`),
      table(`Files of ${repo} at ${revision}`, ["file", "size", "content"], rows),
      more > 0 ? element("p", { class: "note" }, `and ${formatCount(more)} more`) : "",
    ),
  );
  told(merged);
}

/** A browser that follows a link sends no token. */
function fileLink(repo, commit, path) {
  if (hasToken()) return path;
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return element("a", { href: `${rootOf(location)}${repo}/resolve/${commit}/${encoded}`, download: "" }, path);
}
