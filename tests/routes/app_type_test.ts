/** The app's type is written out; here the compiler holds it against the types of the handlers. */
import { assertEquals } from "@std/assert";
import type { HonoBase } from "hono/hono-base";
import type { AppSchema } from "../../routes/app_type.ts";
import type { observeRoutes } from "../../routes/observe/app.ts";
import type { v1Routes } from "../../routes/v1/app.ts";

/** The schema of routes, as Hono infers it. */
// deno-lint-ignore no-explicit-any -- whatever the environment is
type SchemaOf<Routes> = Routes extends HonoBase<any, infer Schema, any, any> ? Schema : never;
type Inferred = SchemaOf<ReturnType<typeof v1Routes>> & SchemaOf<ReturnType<typeof observeRoutes>>;

/** What a client sends and gets, status by status. */
type Traffic<Endpoint> = Endpoint extends { input: infer Input; output: infer Output; status: infer Status }
  ? [input: Input, output: Output, status: Status]
  : never;

type Mutual<A, B> = [A] extends [B] ? [B] extends [A] ? true : false : false;

/** Does not compile where what is written out and what the handlers do differ. */
function agree<
  Path extends keyof AppSchema & keyof Inferred,
  Method extends keyof AppSchema[Path] & keyof Inferred[Path],
>(
  path: Path,
  method: Method,
  _: Mutual<Traffic<AppSchema[Path][Method]>, Traffic<Inferred[Path][Method]>>,
): string {
  return `${String(method)} ${path}`;
}

Deno.test("AppSchema: is what the handlers take and give", () => {
  const agreeing = [
    agree("/readyz", "$get", true),
    agree("/v1/models", "$get", true),
    agree("/v1/adapters", "$get", true),
    agree("/v1/adapters/:id", "$get", true),
    agree("/v1/adapters/:id", "$put", true),
    agree("/v1/adapters/:id", "$delete", true),
    agree("/v1/merges", "$post", true),
  ];
  assertEquals(new Set(agreeing).size, 7);
});
