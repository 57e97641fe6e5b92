/**
 * The OpenAPI document and the pages as they will be served, made while bundling: the bundle has neither their
 * generators nor the markup of each part, only texts, and says where it is mounted.
 */
import type { Plugin } from "esbuild";
import { deflateRawSync } from "node:zlib";
import { openApiDocument } from "../../routes/openapi/document.ts";
import { OPERATIONS } from "../../routes/openapi/operations.ts";
import { docsPage } from "../../routes/pages/docs.ts";
import { homePage } from "../../routes/pages/home.ts";

/** Stands for the path at which the app is mounted; no text of ours has it, and no markup changes it. */
const MOUNT = "/%MOUNT%";
const ROOT = "%ROOT%/";

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
  const home = await homePage(ROOT);
  const policies = new Set(docs.map(({ policy }) => policy));
  if (policies.size !== 1) throw new Error("the pages at /docs differ in their policies");

  return {
    "routes/openapi/operations.ts": `export const OPERATIONS = [];`,
    // A document is known again by the page that shows it.
    "routes/openapi/document.ts": `${unpack(documents.map((document) => JSON.stringify(document)))}
      export const origins = new WeakMap();
      export function openApiDocument({ prefix, readsNeedToken, hasWriters }) {
        const variant = (readsNeedToken ? 2 : 0) + (hasWriters ? 1 : 0);
        const document = JSON.parse(texts()[variant]);
        document.servers = [{ url: prefix === "" ? "/" : prefix }];
        origins.set(document, { prefix, variant });
        return document;
      }`,
    "routes/pages/docs.ts": `import { origins } from "../openapi/document.ts";
      ${unpack(docs.map(({ html }) => html))}${ESCAPE}
      export async function docsPage(document) {
        const { prefix, variant } = origins.get(document);
        const html = texts()[variant].replaceAll("${MOUNT}", () => escape(prefix.replace(/\\/$/, "")));
        return { html, policy: ${JSON.stringify(docs[0]!.policy)} };
      }`,
    "routes/pages/home.ts": `${unpack([home.html])}${ESCAPE}
      export async function homePage(root) {
        return { html: texts()[0].replaceAll("${ROOT}", () => escape(root)), policy: ${JSON.stringify(home.policy)} };
      }`,
  };
}

/**
 * A function `texts()`, which unpacks when it is first called. The variants are nearly one text: each of their lines, or
 * parts between braces, is written once.
 */
function unpack(texts: readonly string[]): string {
  const parts = texts.map((text) => texts.length === 1 ? [text] : text.split(/(?<=[\n}])/));
  const known = new Map([...new Set(parts.flat())].map((part, index) => [part, index]));
  const indices = parts.map((list) => list.map((part) => known.get(part)!));
  const json = JSON.stringify([[...known.keys()], ...indices.map(toSteps)]);
  const packed = deflateRawSync(new TextEncoder().encode(json), { level: 9 });
  return `import { inflateSync } from "fflate";
    let unpacked;
    function texts() {
      if (unpacked) return unpacked;
      const bytes = Uint8Array.from(atob("${packed.toString("base64")}"), (character) => character.charCodeAt(0));
      const [parts, ...variants] = JSON.parse(new TextDecoder().decode(inflateSync(bytes)));
      return unpacked = variants.map((steps) => {
        let index = -1;
        return steps.map((step) => parts[index += step]).join("");
      });
    }`;
}

/** Indices as the steps from one to the next: mostly 1. */
function toSteps(indices: readonly number[]): number[] {
  return indices.map((index, at) => index - (at === 0 ? -1 : indices[at - 1]!));
}

/** Makes the plugin. */
export function madeAhead(): Plugin {
  return {
    name: "made-ahead",
    setup(build) {
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
