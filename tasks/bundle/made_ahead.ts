/**
 * The OpenAPI document and the pages as they will be served, made while bundling: the bundle has neither their
 * generators nor the markup of each part, only texts, and says where it is mounted.
 */
import type { Plugin } from "esbuild";
import { openApiDocument } from "../../routes/openapi/document.ts";
import { OPERATIONS } from "../../routes/openapi/operations.ts";
import { docsPage } from "../../routes/pages/docs.ts";
import { homePage } from "../../routes/pages/home.ts";
import { packTexts } from "./pack_texts.ts";

/** Stand for the path at which the app is mounted, and what clients are told; no text of ours has them. */
const MOUNT = "/%MOUNT%";
const ROOT = "%ROOT%/";
const ENDPOINT = "%ENDPOINT%";

/** By what the caller may do: reads need a token, there are writers. */
const VARIANTS = [[false, false], [false, true], [true, false], [true, true]] as const;

const ESCAPE = `
function escape(text) {
  const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => entities[character]);
}`;

/** The modules that are replaced, by the end of their paths. */
async function modules(): Promise<Readonly<Record<string, string>>> {
  const documents = VARIANTS.map(([readsNeedToken, hasWriters]) => {
    return openApiDocument({ operations: OPERATIONS, prefix: MOUNT, readsNeedToken, hasWriters });
  });
  const docs = await Promise.all(documents.map(docsPage));
  const home = await homePage(ROOT, ENDPOINT);
  const policies = new Set(docs.map(({ policy }) => policy));
  if (policies.size !== 1) throw new Error("the pages at /docs differ in their policies");

  return {
    "routes/openapi/operations.ts": `export const OPERATIONS = [];`,
    // A document is known again by the page that shows it.
    "routes/openapi/document.ts": `${packTexts(documents.map((document) => JSON.stringify(document)))}
      export const origins = new WeakMap();
      export function openApiDocument({ prefix, readsNeedToken, hasWriters }) {
        const variant = (readsNeedToken ? 2 : 0) + (hasWriters ? 1 : 0);
        const document = JSON.parse(texts()[variant]);
        document.servers = [{ url: prefix === "" ? "/" : prefix }];
        origins.set(document, { prefix, variant });
        return document;
      }`,
    "routes/pages/docs.ts": `import { origins } from "../openapi/document.ts";
      ${packTexts(docs.map(({ html }) => html))}${ESCAPE}
      export async function docsPage(document) {
        const { prefix, variant } = origins.get(document);
        const html = texts()[variant].replaceAll("${MOUNT}", () => escape(prefix.replace(/\\/$/, "")));
        return { html, policy: ${JSON.stringify(docs[0]!.policy)} };
      }`,
    "routes/pages/home.ts": `${packTexts([home.html])}${ESCAPE}
      export async function homePage(root, endpoint = "") {
        const values = { "${ROOT}": root, "${ENDPOINT}": endpoint };
        const html = texts()[0].replace(/%(?:ROOT%\\/|ENDPOINT%)/g, (mark) => escape(values[mark]));
        return { html, policy: ${JSON.stringify(home.policy)} };
      }`,
  };
}

/** Makes the plugin. */
export function madeAhead(): Plugin {
  return {
    name: "made-ahead",
    setup(build) {
      // Schemas of answers are for the document alone; esbuild drops what is not used where it knows that no call acts.
      build.onLoad({ filter: /\/routes\/v1\/schemas\.ts$/ }, async ({ path }) => {
        const text = await Deno.readTextFile(path);
        return { contents: text.replace(/\bz\.(?!config\b|locales\b)\w+\(/g, "/* @__PURE__ */ $&"), loader: "ts" };
      });
      let made: ReturnType<typeof modules> | undefined;
      build.onLoad(
        { filter: /\/routes\/(openapi\/(document|operations)|pages\/(docs|home))\.ts$/ },
        async ({ path }) => {
          const found = Object.entries(await (made ??= modules())).find(([end]) => path.endsWith(`/${end}`));
          return { contents: found![1], loader: "js", resolveDir: path.slice(0, path.lastIndexOf("/")) };
        },
      );
    },
  };
}
