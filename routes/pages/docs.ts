/** The page at `/docs`: the OpenAPI document, for people. It is made of that document alone, and runs no script. */
import { html } from "hono/html";
import { type Json, listOf, objectOf, textOf } from "./json.ts";
import { coded } from "./coded.ts";
import { makePage, type Markup, type Page } from "./page.ts";
import { schemaMarkup, typeMarkup } from "./schema_markup.ts";
import baseStyle from "./styles/base.css" with { type: "text" };
import docsStyle from "./styles/docs.css" with { type: "text" };

const METHODS = ["get", "head", "put", "post", "delete"];

interface Found {
  readonly method: string;
  readonly path: string;
  readonly operation: Json;
}

/** Makes the page of an OpenAPI 3.1 document. */
export function docsPage(document: Json): Promise<Page> {
  const operations = Object.entries(objectOf(document.paths)).flatMap(([path, item]) =>
    METHODS.filter((method) => method in objectOf(item)).map((method): Found => {
      return { method, path, operation: objectOf(objectOf(item)[method]) };
    })
  );
  const tags = listOf(document.tags).map(objectOf).map((tag) => {
    const name = textOf(tag.name);
    const own = operations.filter(({ operation }) => listOf(operation.tags).includes(name));
    return { name, description: textOf(tag.description), own };
  }).filter(({ own }) => own.length > 0);
  const schemas = Object.entries(objectOf(objectOf(document.components).schemas));
  const info = objectOf(document.info);
  const server = textOf(objectOf(listOf(document.servers)[0]).url).replace(/\/$/, "");
  return makePage({
    title: `${textOf(info.title)}: API`,
    styles: [baseStyle, docsStyle],
    body: html`
      <a class="skip" href="#main">To the content</a>
      <header>
        <h1>${textOf(info.title)}: API</h1>
        ${prose(textOf(info.description))}
        <nav aria-label="Server"><a href="./">Home</a> <a href="./openapi.json">OpenAPI</a></nav>
      </header>
      <div class="sides">
        <nav class="contents" aria-label="Contents">
        ${tags.map(({ name, own }) =>
          html`
            <h2>${name}</h2>
            <ul>${own.map(contentsLine)}</ul>
          `
        )}
        <h2>schemas</h2>
        <ul>${schemas.map(([name]) => html`<li><a href="#${schemaId(name)}">${name}</a></li>`)}</ul>
        </nav>
        <main id="main">
        ${tags.map(({ name, description, own }) =>
          html`<h2>${name}</h2>${prose(description)}${own.map((found) => operationMarkup(found, server))}`
        )}
        <h2>schemas</h2>
        ${schemas.map(([name, schema]) =>
          html`<section id="${schemaId(name)}" aria-label="${name}"><h3>${name}</h3>${
            schemaMarkup(objectOf(schema))
          }</section>`
        )}
        </main>
      </div>
    `,
  });
}

function contentsLine({ method, path, operation }: Found): Markup {
  return html`<li><a href="#${textOf(operation.operationId)}"><span class="method">${method}</span> ${path}</a></li>`;
}

function operationMarkup({ method, path, operation }: Found, server: string): Markup {
  const id = textOf(operation.operationId);
  const parameters = listOf(operation.parameters).map(objectOf);
  const body = objectOf(operation.requestBody);
  const locked = listOf(operation.security).length === 0 ? "" : html`<span class="lock">needs a token</span>`;
  return html`
    <section id="${id}" aria-label="${id}">
      <h3><span class="method">${method}</span> <code>${server}${path}</code></h3>
      <p><strong>${textOf(operation.summary)}.</strong> ${locked}</p>
      ${prose(textOf(operation.description))}
      ${parameters.length === 0 ? "" : parametersMarkup(parameters)}
      ${body.content === undefined ? "" : html`<h4>Body</h4>${contentMarkup(body)}`}
      <h4>Answers</h4>
      ${Object.entries(objectOf(operation.responses)).map(([status, answer]) => answerMarkup(status, objectOf(answer)))}
    </section>
  `;
}

function parametersMarkup(parameters: readonly Json[]): Markup {
  return html`
    <h4>Parameters</h4>
    <div class="wide" tabindex="0" role="region" aria-label="Parameters">
      <table>
        <caption>Parameters</caption>
        <thead>
          <tr>
            <th scope="col">name</th>
            <th scope="col">in</th>
            <th scope="col">value</th>
          </tr>
        </thead>
        <tbody>${parameters.map((parameter) =>
          html`
            <tr>
              <th scope="row"><code>${textOf(parameter.name)}</code>${parameter.required === true ? " *" : ""}</th>
              <td>${textOf(parameter.in)}</td>
              <td>${typeMarkup(objectOf(parameter.schema))} ${coded(textOf(parameter.description))}</td>
            </tr>
          `
        )}</tbody>
      </table>
    </div>
  `;
}

/** Errors are many and alike: a line each. */
function answerMarkup(status: string, answer: Json): Markup {
  const line = html`<span class="status s${status.slice(0, 1)}">${status}</span> ${coded(textOf(answer.description))}`;
  if (Number(status) >= 400 || (answer.content === undefined && answer.headers === undefined)) {
    return html`<p class="answer">${line}</p>`;
  }
  const headers = Object.entries(objectOf(answer.headers));
  return html`<p class="answer">${line}</p>${
    headers.length === 0 ? "" : html`<dl>${
      headers.map(([name, header]) =>
        html`
          <dt><code>${name}</code></dt>
          <dd>${coded(textOf(objectOf(header).description))}</dd>
        `
      )
    }</dl>`
  }${contentMarkup(answer)}`;
}

function contentMarkup(holder: Json): Markup {
  return html`${
    Object.entries(objectOf(holder.content)).map(([type, content]) => {
      const { schema, example } = objectOf(content);
      return html`<div class="content"><p><code>${type}</code></p>${
        schema === undefined ? "" : schemaMarkup(objectOf(schema))
      }${
        example === undefined
          ? ""
          : html`<pre tabindex="0" role="region" aria-label="Example"><code>${
            JSON.stringify(example, null, 2)
          }</code></pre>`
      }</div>`;
    })
  }`;
}

/** A paragraph, where there is any text. */
function prose(text: string): Markup {
  return text === "" ? html`` : html`<p>${coded(text)}</p>`;
}

function schemaId(name: string): string {
  return `schema-${name}`;
}
