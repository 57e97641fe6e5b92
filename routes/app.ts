/** The HTTP face. So far it says only that it is there; repositories are served by the routes that join it here. */
import { Hono } from "hono";

/** Makes the app; it can be mounted into another one. */
export function createApp(): Hono {
  const app = new Hono();
  app.get("/healthz", (context) => context.text("ok"));
  return app;
}
