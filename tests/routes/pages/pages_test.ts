/** The pages as text: whole, small, and with nothing in them that is not escaped. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Hono } from "hono";
import { AccessRules } from "../../../routes/access/tokens.ts";
import { OPERATIONS } from "../../../routes/openapi/operations.ts";
import { pageRoutes } from "../../../routes/pages/app.ts";
import { docsPage } from "../../../routes/pages/docs.ts";
import { homePage } from "../../../routes/pages/home.ts";
import { joinModules } from "../../../routes/pages/join_modules.ts";
import { makePage } from "../../../routes/pages/page.ts";
import { html } from "hono/html";

const HOSTILE = `"'><img src=x onerror=alert(1)><script>alert(1)</script>`;
const MAX_HOME_BYTES = 48 * 1024;

const access = new AccessRules([]);
// deno-lint-ignore no-explicit-any -- the pages set no variables and read none
const pages: Hono<any> = pageRoutes({ access });

/** The one text of an element, as it stands in a page. */
function inner(page: string, tag: string): string {
  const found = [...page.matchAll(new RegExp(`<${tag}(?: [^>]*)?>([\\s\\S]*?)</${tag}>`, "g"))];
  assertEquals(found.length, 1, `${found.length} elements ${tag}`);
  return found[0]![1]!;
}

function assertNotMatch(text: string, pattern: RegExp): void {
  assertEquals(pattern.exec(text)?.[0], undefined);
}

async function digestOf(text: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return `'sha256-${digest.toBase64()}'`;
}

Deno.test("pages: the policy names the digests of the style and the script that are sent, and nothing else", async () => {
  const home = await pages.request("/");
  const policy = home.headers.get("content-security-policy")!;
  const text = await home.text();
  assert(policy.startsWith("default-src 'none'; "), policy);
  assertEquals(/script-src ([^;]*)/.exec(policy)![1], await digestOf(inner(text, "script")));
  assertEquals(/style-src ([^;]*)/.exec(policy)![1], await digestOf(inner(text, "style")));
  const docs = await pages.request("/docs");
  assertNotMatch(docs.headers.get("content-security-policy")!, /script-src|connect-src|unsafe/);
  assertNotMatch(await docs.text(), /<script/);
});

Deno.test("pages: each is one answer that needs no other host, has no inline handlers and is small", async () => {
  const home = await (await pages.request("/")).text();
  assert(home.length < MAX_HOME_BYTES, `${home.length} bytes`);
  for (const text of [home, await (await pages.request("/docs")).text()]) {
    assertNotMatch(text, /<[^>]* on[a-z]+=|<[^>]* style=|<[^>]* src=|<link rel="stylesheet"|@import|url\(/);
    assertEquals([...text.matchAll(/\b(?:href|src)="(?:https?:)?\/\/[^"]*"/g)].map(([found]) => found), []);
  }
});

Deno.test("pages: the home page's modules are one script that parses", async () => {
  const script = inner((await homePage("./")).html, "script");
  assertNotMatch(script, /^\s*(import|export)\b/m);
  const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor;
  // A name that two modules declare is a syntax error here, as it is in the page.
  new AsyncFunction(`"use strict";${script}`);
});

Deno.test("joinModules: leaves code as it is, and takes imports, exports and comments away", () => {
  const a = '/** Why. */\n\nexport const A = "// no comment";\n';
  const b = 'import { A } from "./a.js";\n// Why.\nexport function f() {\n  return `export ${A} /* */`; // kept\n}\n';
  assertEquals(
    joinModules([a, b]).trim(),
    'const A = "// no comment";\nfunction f() {\n  return `export ${A} /* */`; // kept\n}',
  );
});

Deno.test("pages: under a prefix, links are relative to the page, with and without a slash at its end", async () => {
  const app = new Hono().route("/deep/er", pages);
  const roots = new Map([["/deep/er", "./er/"], ["/deep/er/", "./"]]);
  for (const [path, root] of roots) {
    const answer = await app.request(path);
    assertEquals(answer.status, 200);
    const text = await answer.text();
    const docs = /<a data-to="docs" href="([^"]*)"/.exec(text)![1]!;
    assertEquals(docs, `${root}docs`);
    assertEquals(new URL(docs, `http://host${path}`).pathname, "/deep/er/docs");
  }
  const docs = await app.request("/deep/er/docs");
  assertMatch(await docs.text(), /<code>\s*\/deep\/er\/v1\/merges\s*<\/code>/);
});

Deno.test("pages: a hostile path is escaped in the page", async () => {
  const app = new Hono().route("/:any", pages);
  const answer = await app.request(`/${encodeURIComponent(HOSTILE)}`);
  assertEquals(answer.status, 200);
  assertNotMatch(await answer.text(), /<img/);
  assertNotMatch((await homePage(HOSTILE)).html, /<img/);
});

Deno.test("pages: other paths are not theirs", async () => {
  for (const path of ["/x", "/docs/", "/docs/x", "//"]) assertEquals((await pages.request(path)).status, 404, path);
});

Deno.test("docs: every operation, parameter, schema and example of the document is on the page", async () => {
  const text = (await (await pages.request("/docs")).text()).replaceAll("&quot;", '"').replaceAll("&#39;", "'");
  const readable = OPERATIONS.filter(({ access }) => access !== "write");
  assert(readable.length > 15);
  for (const { id, path, summary, answers } of readable) {
    assert(text.includes(`id="${id}"`), id);
    assert(text.includes(path) && text.includes(summary), path);
    for (const [, { content = [] }] of Object.entries(answers).filter(([status]) => Number(status) < 400)) {
      for (const { example } of content) {
        if (example !== undefined) assert(text.includes(JSON.stringify(example, null, 2)), `example of ${id}`);
      }
    }
  }
  for (const name of ["MergeRequest", "MergeAnswer", "AdapterDetails", "ProblemDocument"]) {
    assert(text.includes(`id="schema-${name}"`), name);
  }
  assert(!text.includes('id="putAdapter"'), "nobody writes here");
  const writers: Hono<never> = pageRoutes({ access: { ...access, hasWriters: true } as AccessRules }) as never;
  assert((await (await writers.request("/docs")).text()).includes('id="putAdapter"'));
});

Deno.test("docs: a hostile document is text, and one of wrong types is an empty page", async () => {
  const schema = {
    ...{ type: "object", description: HOSTILE, required: [HOSTILE] },
    properties: {
      [HOSTILE]: { enum: [HOSTILE], description: HOSTILE },
      b: { $ref: `#/components/schemas/${HOSTILE}` },
    },
    anyOf: [{ const: HOSTILE }, { type: HOSTILE, pattern: HOSTILE, default: HOSTILE }],
  };
  const content = { [HOSTILE]: { schema, example: { [HOSTILE]: HOSTILE } } };
  const operation = {
    ...{ operationId: HOSTILE, summary: HOSTILE, description: HOSTILE, tags: [HOSTILE], security: [{}] },
    parameters: [{ name: HOSTILE, in: HOSTILE, description: HOSTILE, schema }],
    requestBody: { content },
    responses: { 200: { description: HOSTILE, content, headers: { [HOSTILE]: { description: HOSTILE } } } },
  };
  const page = await docsPage({
    info: { title: HOSTILE, description: HOSTILE },
    servers: [{ url: HOSTILE }],
    tags: [{ name: HOSTILE, description: HOSTILE }],
    paths: { [`/${HOSTILE}`]: { get: operation } },
    components: { schemas: { [HOSTILE]: schema } },
  });
  assert(page.html.includes("&lt;img src=x"));
  assertNotMatch(page.html, /<img|<script|"'>/);
  const wrong = await docsPage({ info: 1, servers: "x", tags: [null, 3], paths: [1], components: { schemas: null } });
  assertMatch(wrong.html, /<main/);
});

Deno.test("docs: a schema that nests without end is cut", async () => {
  let schema: Record<string, unknown> = { type: "string" };
  for (let i = 0; i < 500; i++) schema = { type: "object", properties: { inner: schema } };
  const page = await docsPage({ components: { schemas: { Deep: schema } } });
  assert(page.html.length < 100_000);
});

Deno.test("makePage: text that would end its element is a mistake of ours", async () => {
  for (const script of ["a </script> b", "<!-- a", "'<SCRIPT'"]) {
    const made = await makePage({ title: "", styles: [], script, body: html`` }).then(() => null, (error) => error);
    assert(made instanceof TypeError, script);
  }
});
