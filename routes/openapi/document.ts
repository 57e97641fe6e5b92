/** The OpenAPI 3.1 document, made of the tables of operations and the schemas that requests are checked against. */
import * as z from "zod/mini";
import { ProblemDocument } from "../v1/schemas.ts";
import * as schemas from "../v1/schemas.ts";
import type { Answer, Content, Operation } from "./operation.ts";

type Json = Record<string, unknown>;

/** What the document says beside its operations. */
export interface DocumentOptions {
  readonly operations: readonly Operation[];
  /** Where clients find the app: a path or a URL without its last slash; empty at the root. */
  readonly prefix: string;
  /** True where reading takes a token. */
  readonly readsNeedToken: boolean;
  /** True where anyone may write: else operations that write are not in the document. */
  readonly hasWriters: boolean;
}

const DIALECT = "https://json-schema.org/draft/2020-12/schema";
const PROBLEM_TYPE = "application/problem+json";

const DESCRIPTIONS: Readonly<Record<number, string>> = {
  400: "The request is malformed.",
  401: "A token is needed, or this one is not known.",
  403: "The token does not allow this.",
  404: "There is no such thing, or none that the caller may see.",
  405: "The path knows other methods.",
  408: "The body did not come in time.",
  409: "It is there already, and not the store's to replace.",
  412: "A condition of the request does not hold.",
  413: "A body or an answer is too large.",
  415: "The body is of another type.",
  416: "The range lies outside the file.",
  422: "It was understood, and cannot be done: `code` says why.",
  429: "No room now; come again after `Retry-After`.",
  502: "A host elsewhere does not do its part.",
  503: "No room, or not ready; come again after `Retry-After`.",
};

const TAGS = [
  { name: "models", description: "Bases." },
  { name: "adapters", description: "The adapter store." },
  { name: "merging", description: "Bases with adapters: as files, or applied to activations." },
  { name: "hub", description: "What Hugging Face clients ask for." },
  { name: "state", description: "How the server is." },
  { name: "pages", description: "For people, and this document." },
];

/** Names of schemas in the document. */
const NAMES = new Map<unknown, string>(
  Object.entries(schemas).filter(([, value]) => value instanceof z.ZodMiniType).map(([name, schema]) => [schema, name]),
);

/** Makes the document. */
export function openApiDocument({ operations, prefix, readsNeedToken, hasWriters }: DocumentOptions): Json {
  const used = new Set<z.ZodMiniType>([ProblemDocument]);
  const paths: Record<string, Json> = {};
  for (const operation of operations) {
    if (operation.access === "write" && !hasWriters) continue;
    const item = paths[operation.path] ??= {};
    item[operation.method] = operationObject(operation, readsNeedToken, used);
  }
  const components: Json = {};
  for (const schema of used) components[NAMES.get(schema)!] = schemaObject(schema);
  return {
    openapi: "3.1.0",
    info: {
      title: "ether-edge",
      version: "1",
      description:
        "Base models with ETHER adapters, merged as they are read. Errors are RFC 9457 problems with a stable " +
        "`code`; on the Hub's routes they are what Hub clients expect.",
      license: { name: "MIT", identifier: "MIT" },
    },
    jsonSchemaDialect: DIALECT,
    servers: [{ url: prefix === "" ? "/" : prefix }],
    tags: TAGS,
    paths,
    components: {
      schemas: components,
      securitySchemes: { token: { type: "http", scheme: "bearer", description: "A token, `hf_…` for Hub clients." } },
    },
  };
}

function operationObject(operation: Operation, readsNeedToken: boolean, used: Set<z.ZodMiniType>): Json {
  const { id, summary, description, tag, access, body, answers } = operation;
  const needsToken = access === "write" || (access === "read" && readsNeedToken);
  const statuses = new Set(operation.errors);
  if (needsToken) [401, 403].forEach((status) => statuses.add(status));
  const responses: Record<string, Json> = {};
  for (const [status, answer] of Object.entries(answers)) responses[status] = answerObject(answer, used);
  for (const status of [...statuses].sort()) {
    responses[status] ??= {
      description: DESCRIPTIONS[status] ?? "An error.",
      content: operation.tag === "hub" ? hubError() : { [PROBLEM_TYPE]: { schema: ref(ProblemDocument, used) } },
    };
  }
  return {
    ...{ operationId: id, summary, tags: [tag] },
    ...description === undefined ? {} : { description },
    ...needsToken ? { security: [{ token: [] }] } : {},
    parameters: parametersOf(operation),
    ...body === undefined ? {} : { requestBody: { required: true, content: contentObject(body, used) } },
    responses,
  };
}

function parametersOf({ path, params = {}, query, headers = {} }: Operation): Json[] {
  const inPath = [...path.matchAll(/\{([a-z_]+)\}/g)].map(([, name]) => ({
    ...{ name: name!, in: "path", required: true },
    schema: params[name!] === undefined ? { type: "string" } : schemaObject(params[name!]!),
  }));
  const queryObject = query === undefined
    ? {}
    : schemaObject(query) as { properties?: Record<string, Json>; required?: string[] };
  const inQuery = Object.entries(queryObject.properties ?? {}).map(([name, schema]) => ({
    ...{ name, in: "query", schema, required: queryObject.required?.includes(name) ?? false },
  }));
  const inHeaders = Object.entries(headers).map(([name, description]) => ({
    ...{ name, in: "header", description, required: false, schema: { type: "string" } },
  }));
  return [...inPath, ...inQuery, ...inHeaders];
}

function answerObject({ description, content, headers }: Answer, used: Set<z.ZodMiniType>): Json {
  return {
    description,
    ...content === undefined ? {} : { content: contentObject(content, used) },
    ...headers === undefined ? {} : {
      headers: Object.fromEntries(
        Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: "string" } }]),
      ),
    },
  };
}

function contentObject(contents: readonly Content[], used: Set<z.ZodMiniType>): Json {
  return Object.fromEntries(contents.map(({ type, schema, example }) => [type, {
    ...schema === undefined ? {} : { schema: NAMES.has(schema) ? ref(schema, used) : schemaObject(schema) },
    ...example === undefined ? {} : { example },
  }]));
}

function hubError(): Json {
  return {
    "application/json": { schema: { type: "object", properties: { error: { type: "string" } }, required: ["error"] } },
  };
}

function ref(schema: z.ZodMiniType, used: Set<z.ZodMiniType>): Json {
  used.add(schema);
  return { $ref: `#/components/schemas/${NAMES.get(schema)}` };
}

/** As JSON Schema of what is sent: a field with a default may be left out. */
function schemaObject(schema: z.ZodMiniType): Json {
  const { $schema: _, ...object } = z.toJSONSchema(schema, { io: "input", target: "draft-2020-12" });
  return object;
}
