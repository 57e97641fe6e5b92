/** `/` and `/docs`, for people. Both are made when they are first asked for. */
import { type Context, Hono } from "hono";
import type { RouteContext, RouteEnv } from "../context.ts";
import type { Page } from "./page.ts";

const DOCS = "/docs";

/** The pages say no name of what the server holds, and are open. */
export function pageRoutes({ access, publicUrl }: Pick<RouteContext, "access" | "publicUrl">) {
  const made = new Map<string, Promise<Page>>();

  /** Made once for each path: an app is mounted at one. */
  async function answer(context: Context<RouteEnv>, make: (path: string) => Promise<Page>): Promise<Response> {
    const { path } = context.req;
    const page = made.get(path) ?? make(path);
    if (made.size < 4) made.set(path, page);
    page.catch(() => made.delete(path));
    const { html, policy } = await page;
    return context.html(html, 200, { "content-security-policy": policy, "cache-control": "no-cache" });
  }

  const home = (context: Context<RouteEnv>) =>
    answer(context, async (path) => (await import("./home.ts")).homePage(rootFrom(path), publicUrl));

  return new Hono<RouteEnv>()
    .get("/", home)
    // Where the app is mounted at a path, `/path` and `/path/` are both that.
    .get("/:slash{$}", home)
    .get(DOCS, (context) =>
      answer(context, async (path) => {
        const [{ docsPage }, { openApiDocument }, { OPERATIONS }] = await Promise.all([
          import("./docs.ts"),
          import("../openapi/document.ts"),
          import("../openapi/operations.ts"),
        ]);
        const { readsNeedToken, hasWriters } = access;
        const prefix = publicUrl ?? path.slice(0, -DOCS.length);
        return docsPage(openApiDocument({ operations: OPERATIONS, prefix, readsNeedToken, hasWriters }));
      }));
}

/** The root as the page at this path names it: relative, as a proxy may add a prefix that is not seen here. */
function rootFrom(path: string): string {
  return path.endsWith("/") ? "./" : `./${path.slice(path.lastIndexOf("/") + 1)}/`;
}
