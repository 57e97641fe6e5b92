/** A JSON Schema as people read it: what a value is, and what its parts are. */
import { html } from "hono/html";
import { coded } from "./coded.ts";
import { type Json, listOf, objectOf, textOf } from "./json.ts";
import type { Markup } from "./page.ts";

/** Deeper schemas are said to go on. */
const MAX_DEPTH = 12;

/** What a value is, with its parts below. */
export function schemaMarkup(schema: Json, depth = 0): Markup {
  return html`<div class="schema">${typeMarkup(schema)}${partsMarkup(schema, depth)}</div>`;
}

/** What a value is, in a line. */
export function typeMarkup(schema: Json): Markup {
  const name = referenceOf(schema);
  if (name !== null) return html`<a href="#schema-${name}">${name}</a>`;
  const options = optionsOf(schema);
  if (options.length > 0) {
    return html`${options.map((option, at) => html`${at === 0 ? "" : " or "}${typeMarkup(option)}`)}`;
  }
  if (schema.const !== undefined) return html`<code>${JSON.stringify(schema.const)}</code>`;
  const values = listOf(schema.enum);
  if (values.length > 0) return html`<span class="values">one of ${codes(values)}</span>`;
  if (schema.items !== undefined) return html`list of ${typeMarkup(objectOf(schema.items))}${rulesMarkup(schema)}`;
  const type = textOf(schema.type) || listOf(schema.type).join(" or ") || "any value";
  return html`${type}${rulesMarkup(schema)}`;
}

function partsMarkup(schema: Json, depth: number): Markup {
  if (depth > MAX_DEPTH) return html`…`;
  if (schema.items !== undefined) return partsMarkup(objectOf(schema.items), depth + 1);
  const options = optionsOf(schema);
  if (options.length > 0) return html`${options.map((option) => partsMarkup(option, depth + 1))}`;
  const parts = Object.entries(objectOf(schema.properties));
  if (parts.length === 0) return html``;
  const required = new Set(listOf(schema.required));
  return html`<ul>${
    parts.map(([name, part]) => {
      const inner = objectOf(part);
      const note = textOf(inner.description);
      const mark = required.has(name) ? html`:` : html`<span class="note"> optional</span>:`;
      const remark = note === "" ? "" : html`<span> – ${coded(note)}</span>`;
      return html`<li><code>${name}</code>${mark} ${typeMarkup(inner)}${remark}${partsMarkup(inner, depth + 1)}</li>`;
    })
  }</ul>`;
}

function rulesMarkup(schema: Json): Markup {
  const { minimum, maximum, minLength, maxLength, maxItems } = schema;
  const patterns = [schema, ...listOf(schema.allOf).map(objectOf)].map(({ pattern }) => textOf(pattern)).filter(
    Boolean,
  );
  const rules = [
    // zod says of every integer that it is one that a double can hold.
    ...typeof minimum === "number" && minimum > Number.MIN_SAFE_INTEGER ? [`≥ ${minimum}`] : [],
    ...typeof maximum === "number" && maximum < Number.MAX_SAFE_INTEGER ? [`≤ ${maximum}`] : [],
    ...typeof minLength === "number" ? [`at least ${minLength} characters`] : [],
    ...typeof maxLength === "number" ? [`at most ${maxLength} characters`] : [],
    ...typeof maxItems === "number" ? [`at most ${maxItems}`] : [],
    ...schema.default === undefined ? [] : [`default ${JSON.stringify(schema.default)}`],
  ];
  return html`${rules.map((rule) => `, ${rule}`)}${patterns.map((pattern) => html`, <code>${pattern}</code>`)}`;
}

function optionsOf(schema: Json): readonly Json[] {
  return [...listOf(schema.anyOf), ...listOf(schema.oneOf)].map(objectOf);
}

function codes(values: readonly unknown[]): Markup {
  return html`${values.map((value, at) => html`${at === 0 ? "" : ", "}<code>${JSON.stringify(value)}</code>`)}`;
}

/** The name of a schema of the same document. */
function referenceOf(schema: Json): string | null {
  return /^#\/components\/schemas\/(.+)$/.exec(textOf(schema.$ref))?.[1] ?? null;
}
