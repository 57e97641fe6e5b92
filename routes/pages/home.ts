/** The page at the app's root: what the server has, and how to use it. Its script asks for what it shows. */
import { html } from "hono/html";
import builder from "./client/builder.js" with { type: "text" };
import clientLines from "./client/client_lines.js" with { type: "text" };
import dom from "./client/dom.js" with { type: "text" };
import home from "./client/home.js" with { type: "text" };
import layerGrid from "./client/layer_grid.js" with { type: "text" };
import layerPicture from "./client/layer_picture.js" with { type: "text" };
import server from "./client/server.js" with { type: "text" };
import baseStyle from "./styles/base.css" with { type: "text" };
import homeStyle from "./styles/home.css" with { type: "text" };
import { joinModules } from "./join_modules.ts";
import { makePage, type Markup, type Page } from "./page.ts";

/**
 * Makes the page. It holds no name of anything: whoever may read gets those by the script.
 *
 * @param root      where the app is, as seen from the page's URL, e.g. `./`
 * @param endpoint  what clients are told, without its last slash. @default where the page was found
 */
export function homePage(root: string, endpoint = ""): Promise<Page> {
  return makePage({
    title: "ether-edge",
    styles: [baseStyle, homeStyle],
    script: joinModules([dom, server, clientLines, layerGrid, layerPicture, builder, home]),
    body: bodyOf(root, endpoint),
  });
}

function bodyOf(root: string, endpoint: string): Markup {
  return html`
    <a class="skip" href="#main">To the content</a>
    <header>
      <h1>ether-edge</h1>
      <p>Base models with ETHER adapters, merged as they are read: each recipe is a revision of a repository.</p>
      <p class="state"><span id="state" role="status">asking the server</span></p>
      <nav aria-label="Server">
        <a data-to="docs" href="${root}docs">API</a>
        <a data-to="openapi.json" href="${root}openapi.json">OpenAPI</a>
        <a data-to="readyz" href="${root}readyz">Readiness</a>
      </nav>
    </header>
    <main id="main">
      <noscript><p class="wrong">This page asks the server by JavaScript. What it shows is also at
        <a href="${root}v1/models">/v1/models</a>, <a href="${root}v1/adapters">/v1/adapters</a> and
        <a href="${root}docs">/docs</a>.</p></noscript>
      <form id="access" hidden>
        <label for="token">Token for reading</label>
        <div class="line">
          <input id="token" type="password" autocomplete="off" spellcheck="false" placeholder="hf_…">
          <button>Use it</button>
        </div>
        <p class="note">It stays in this page's memory, and is forgotten with it.</p>
        <p class="wrong" id="refused" role="alert"></p>
      </form>
      <div id="content" hidden>
        <div class="pair lists">
          <section aria-labelledby="models-title">
            <h2 id="models-title">Bases</h2>
            <div id="models"></div>
          </section>
          <section aria-labelledby="adapters-title">
            <h2 id="adapters-title">Adapters</h2>
            <div id="adapters"></div>
          </section>
        </div>
        <section aria-labelledby="builder-title" id="builder">
          <h2 id="builder-title">Make a recipe</h2>
          <p class="note">Adapters apply from the top down. Strength 1 is as trained, 0 is nothing; nothing is stored.</p>
          <div class="pair">
            <form id="recipe">
              <label for="base">Base</label><select id="base"></select>
              <label for="adapter">Adapter</label>
              <div class="line"><select id="adapter"></select><button id="add">Add</button></div>
              <h3 id="parts-title">Recipe</h3>
              <p class="note" id="no-parts">No adapters: this is the base, <code>main</code>.</p>
              <ol id="parts" aria-labelledby="parts-title"></ol>
            </form>
            <div id="merge" aria-live="polite"></div>
          </div>
        </section>
        <section aria-labelledby="layers-title" id="layers" hidden>
          <h2 id="layers-title">What an adapter does to each layer</h2>
          <p class="note">By its vectors alone: how far each transformation H lies from doing nothing.</p>
          <div class="line">
            <label>Adapter <select id="drawn"></select></label>
            <label>Shade <select id="measure"></select></label>
            <button id="use" type="button">Add to the recipe</button>
          </div>
          <div id="picture" aria-live="polite"></div>
        </section>
        <section aria-labelledby="clients-title">
          <h2 id="clients-title">Point a client here</h2>
          <p class="note">For the recipe above. Any Hugging Face client works, with the endpoint
            <code id="endpoint" data-url="${endpoint}"></code>.</p>
          <div id="clients"></div>
        </section>
      </div>
      <p class="unseen" id="said" role="status"></p>
    </main>
  `;
}
