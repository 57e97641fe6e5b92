/** `/openapi.json`. */
import { Hono } from "hono";
import type { RouteContext, RouteEnv } from "../context.ts";

const PATH = "/openapi.json";

/** The document, made when it is first asked for. It says nothing of what the server holds, and is open. */
export function openApiRoutes({ access, publicUrl }: Pick<RouteContext, "access" | "publicUrl">) {
  const documents = new Map<string, string>();
  return new Hono<RouteEnv>().get(PATH, async (context) => {
    const prefix = publicUrl ?? context.req.path.slice(0, -PATH.length);
    let text = documents.get(prefix);
    if (text === undefined) {
      const [{ openApiDocument }, { OPERATIONS }] = await Promise.all([
        import("./document.ts"),
        import("./operations.ts"),
      ]);
      const { readsNeedToken, hasWriters } = access;
      text = JSON.stringify(openApiDocument({ operations: OPERATIONS, prefix, readsNeedToken, hasWriters }));
      // The prefix is where the app is mounted, and that is one place; a wildcard there would make many.
      if (documents.size < 4) documents.set(prefix, text);
    }
    return context.body(text, 200, { "content-type": "application/json", "cache-control": "no-cache" });
  });
}
