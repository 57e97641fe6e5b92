/** Elements whose text is text: nothing that a server says is ever read as markup. */

const SVG = "http://www.w3.org/2000/svg";

/** @type {(tag: string, attributes?: Record<string, unknown>, ...children: unknown[]) => HTMLElement} */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** @type {(tag: string, attributes?: Record<string, unknown>, ...children: unknown[]) => SVGElement} */
export function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Functions listen, `false` and `undefined` are left out, `true` is an attribute without a value. */
function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== false && value !== undefined) made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** The element of this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** @param rows  of text and elements; the first of each is its heading */
export function table(caption, headings, rows) {
  const head = element("tr", {}, ...headings.map((heading) => element("th", { scope: "col" }, heading)));
  const body = rows.map(([first, ...rest]) =>
    element("tr", {}, element("th", { scope: "row" }, first), ...rest.map(cellOf))
  );
  return element(
    ...["div", { class: "wide", tabindex: 0, role: "region", "aria-label": caption }],
    element(
      ...["table", {}, element("caption", {}, caption)],
      element("thead", {}, head),
      element("tbody", {}, ...body),
    ),
  );
}

function cellOf(content) {
  return content instanceof HTMLTableCellElement ? content : element("td", {}, content);
}

/** A button that copies what `text()` is when it is pressed. */
export function copyButton(name, text) {
  const button = element("button", { type: "button", class: "copy", "aria-label": `Copy ${name}` }, "Copy");
  button.addEventListener("click", async () => {
    const copied = await copy(text()).then(() => true, () => false);
    button.textContent = copied ? "Copied" : "Not copied";
    byId("said").textContent = copied ? `${name} copied` : `${name} could not be copied`;
    setTimeout(() => button.textContent = "Copy", 1500);
  });
  return button;
}

async function copy(text) {
  if (navigator.clipboard !== undefined) return await navigator.clipboard.writeText(text);
  // Over plain HTTP from another machine there is no clipboard; an old command still copies what is selected.
  const area = element("textarea", { class: "unseen" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("nothing was copied");
}

/** `12.3 MB`: powers of ten, as downloads show them. */
export function formatBytes(count) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor((String(Math.round(count)).length - 1) / 3)));
  return power === 0 ? `${count} bytes` : `${(count / 1000 ** power).toPrecision(3)} ${units[power]}`;
}

/** `12,345`. */
export function formatCount(count) {
  return count.toLocaleString("en");
}
