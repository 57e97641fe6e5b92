import { assert, assertEquals } from "@std/assert";
// deno-lint-ignore no-import-prefix -- of the tests alone: what the root map names is installed before every task
import { Validator } from "npm:@seriousme/openapi-schema-validator@2.11.0";
import { openApiDocument } from "../../../routes/openapi/document.ts";
import { OPERATIONS } from "../../../routes/openapi/operations.ts";

const EVERYTHING = { operations: OPERATIONS, prefix: "", readsNeedToken: true, hasWriters: true };

/** The document as a script sees it. */
interface Document {
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, OperationObject>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

interface OperationObject {
  readonly operationId: string;
  readonly security?: unknown;
  readonly responses: Readonly<Record<string, unknown>>;
}

function documentOf(options = EVERYTHING): Document {
  return JSON.parse(JSON.stringify(openApiDocument(options)));
}

Deno.test("openapi: the document is valid OpenAPI 3.1, with and without tokens", async () => {
  for (const readsNeedToken of [true, false]) {
    for (const hasWriters of [true, false]) {
      const document = documentOf({ ...EVERYTHING, prefix: "/deep/er", readsNeedToken, hasWriters });
      const validator = new Validator();
      const result = await validator.validate({ ...document });
      assertEquals([result.valid, result.errors, validator.version], [true, undefined, "3.1"] as never);
    }
  }
});

Deno.test("openapi: every reference has a schema, and every schema is used", () => {
  const document = documentOf();
  const text = JSON.stringify(document);
  const references = new Set([...text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name!));
  assertEquals([...references].sort(), Object.keys(document.components.schemas).sort());
  assert(references.size > 5);
});

Deno.test("openapi: operations have ids of their own, and writers' operations exist only for writers", () => {
  const idsOf = (document: Document) => {
    return Object.values(document.paths).flatMap((item) => Object.values(item).map(({ operationId }) => operationId));
  };
  const all = idsOf(documentOf());
  assertEquals(new Set(all).size, OPERATIONS.length);
  const readers = idsOf(documentOf({ ...EVERYTHING, hasWriters: false }));
  assertEquals(all.filter((id) => !readers.includes(id)), ["putAdapter", "deleteAdapter"]);
});

Deno.test("openapi: a token is asked for where one is needed", () => {
  const guarded = documentOf().paths["/v1/models"]!["get"]!;
  const open = documentOf({ ...EVERYTHING, readsNeedToken: false }).paths["/v1/models"]!["get"]!;
  assertEquals([guarded.security, "401" in guarded.responses], [[{ token: [] }], true]);
  assertEquals([open.security, "401" in open.responses], [undefined, false]);
});

for (const { id, method, path, answers, body } of OPERATIONS) {
  const contents = [...Object.values(answers).flatMap(({ content }) => content ?? []), ...body ?? []];
  for (const { type, schema, example } of contents) {
    if (schema === undefined || example === undefined) continue;
    Deno.test(`openapi: the ${type} example of ${id} (${method} ${path}) is as its schema says`, () => {
      const result = schema.safeParse(example);
      assertEquals(result.success ? [] : result.error.issues, []);
      // What the schema knows is all there is: an example has no field that the document does not describe.
      assertEquals(result.data, example);
    });
  }
}
