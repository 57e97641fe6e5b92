/**
 * The server, for `deno serve main.ts`, Deno Deploy, and services that mount it.
 *
 * As an entry it is told what to serve by variables: `ETHER_MODELS`, `ETHER_ADAPTERS` and the others of docs/serving.md.
 * Imported, it does nothing until its `fetch` or one of its functions is called.
 *
 * @module
 */
import { type AppOptions, type AppType, createApp } from "./routes/app.ts";
import { parseTokenRules } from "./routes/access/token_rules.ts";
import { openServer } from "./runtime/deno/server.ts";
import { SERVER_VARIABLES, type ServerOptions, serverOptions } from "./runtime/deno/server_options.ts";
import { EtherError } from "./runtime/error.ts";

export { type AppOptions, type AppType, createApp } from "./routes/app.ts";
export { type OpenedServer, openServer, type ServerNotices } from "./runtime/deno/server.ts";
export { type ServerFlags, type ServerOptions, serverOptions } from "./runtime/deno/server_options.ts";

/**
 * An app over folders of this machine, with everything that `deno task serve` has.
 *
 * @param options  what `serverOptions` gives, or written by hand; relative paths are from the working directory
 * @param more     options of the app that take the place of those
 * @throws {EtherError} `not_found` for a folder that is not there, `bad_config` for a file of tokens, `usage`
 */
export async function openApp(options: ServerOptions, more: Partial<AppOptions> = {}): Promise<AppType> {
  const warn = (message: string) => logLine("warn", "notice", message);
  const { repositories, start, tokenFile, openRemoteAdapter } = await openServer(options, { onNotice: warn });
  const { readToken, writeToken, maxBytes, publicUrl } = options;
  start().catch((error) => logLine("error", "start", describe(error)));
  return createApp({
    ...{ repositories, readToken, writeToken, maxBytes, publicUrl, openRemoteAdapter },
    tokens: tokenFile === null ? undefined : parseTokenRules(tokenFile.bytes, tokenFile.name),
    log: (line) => console.log(JSON.stringify(line)),
    memoryUsage: () => Deno.memoryUsage(),
    ...more,
  });
}

let opening: Promise<AppType> | undefined;
let lastFailure: string | undefined;

/** The app of the variables; where it cannot be opened, the next call tries again. */
function appOfEnvironment(): Promise<AppType> {
  return opening ??= open().catch((error) => {
    opening = undefined;
    throw error;
  });
}

async function open(): Promise<AppType> {
  const options = serverOptions(readVariable, {}, (path) => path.startsWith("/") ? path : `${Deno.cwd()}/${path}`);
  // Imported, it cannot know who takes its answers.
  return await openApp(options, { releaseChunks: import.meta.main });
}

/** Never asks, as there is nobody at a server. A token that is set but may not be read must not count as none. */
function readVariable(name: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  if (state === "granted") return Deno.env.get(name);
  const hint = `--allow-env=${SERVER_VARIABLES.join(",")}`;
  throw new EtherError("usage", "the variable may not be read", { field: name, hint });
}

async function fetch(request: Request, info?: Deno.ServeHandlerInfo): Promise<Response> {
  let app: AppType;
  try {
    app = await appOfEnvironment();
  } catch (error) {
    return unavailable(error);
  }
  return await app.fetch(request, info);
}

/** Says to the log what is wrong, and to the client that it is not the client's fault. */
function unavailable(error: unknown): Response {
  const detail = describe(error);
  if (detail !== lastFailure) logLine("error", "not serving", detail);
  lastFailure = detail;
  const code = error instanceof EtherError ? error.code : "io_error";
  const body = {
    title: "Service Unavailable",
    status: 503,
    detail: "the server is not set up; its log says why",
    code,
  };
  return Response.json({ type: "about:blank", ...body }, {
    status: 503,
    headers: { "content-type": "application/problem+json", "retry-after": "5", "cache-control": "no-store" },
  });
}

function describe(error: unknown): string {
  return error instanceof EtherError ? error.toLine() : String(error);
}

function logLine(level: string, msg: string, detail: string): void {
  console.log(JSON.stringify({ time: new Date().toISOString(), level, msg, detail }));
}

// Run as it is, it makes itself ready before the first request; a failure is told with that request.
if (import.meta.main) appOfEnvironment().catch(unavailable);

/** What `deno serve main.ts` and Deno Deploy run. */
export default { fetch } satisfies Deno.ServeDefaultExport;
