/** Every operation of the app. */
import { STATE_OPERATIONS, V1_OPERATIONS } from "../v1/operations.ts";
import { HUB_OPERATIONS } from "./hub_operations.ts";
import type { Operation } from "./operation.ts";

const HTML = [{ type: "text/html" }];

const PAGE_OPERATIONS: readonly Operation[] = [
  {
    ...{ id: "getHome", method: "get", path: "/", tag: "pages", access: "open" },
    summary: "What is here, and how to point a client at it",
    answers: { 200: { description: "A page.", content: HTML } },
    errors: [],
  },
  {
    ...{ id: "getDocs", method: "get", path: "/docs", tag: "pages", access: "open" },
    summary: "This document as a page",
    answers: { 200: { description: "A page.", content: HTML } },
    errors: [],
  },
  {
    ...{ id: "getOpenApi", method: "get", path: "/openapi.json", tag: "pages", access: "open" },
    summary: "This document",
    answers: { 200: { description: "OpenAPI 3.1.", content: [{ type: "application/json" }] } },
    errors: [],
  },
];

/** In the order of the document. */
export const OPERATIONS: readonly Operation[] = [
  ...V1_OPERATIONS,
  ...HUB_OPERATIONS,
  ...STATE_OPERATIONS,
  ...PAGE_OPERATIONS,
];
