/** The server's entry, for `deno serve` and Deno Deploy. */
import { createApp } from "./routes/app.ts";

const app = createApp();

/** What `deno serve main.ts` runs. */
export default { fetch: app.fetch } satisfies Deno.ServeDefaultExport;
