/** `serve`: the server on this machine, until it is told to stop. */
import { defaultWorkerCount } from "../runtime/deno/worker_limit.ts";
import { openServer } from "../runtime/deno/server.ts";
import { type ServerFlags, serverOptions } from "../runtime/deno/server_options.ts";
import { EtherError } from "../runtime/error.ts";
import { parseTokenRules } from "../routes/access/token_rules.ts";
import { createApp } from "../routes/app.ts";
import { writeErr, writeOut } from "./console.ts";
import { resolvePath } from "./paths.ts";
import type { CommandContext } from "./run_command.ts";

/** Flags of `serve`. */
export interface ServeFlags extends ServerFlags {
  readonly host: string;
  readonly port: string;
  readonly quiet?: true | undefined;
  readonly verbose?: true | undefined;
}

/** How long streams that run may go on when the server is told to stop. */
const SHUTDOWN_MILLISECONDS = 10_000;

/** Serves; ends with 0 where a signal ended it. */
export async function serve(flags: ServeFlags, { console, signal }: CommandContext): Promise<number> {
  const port = parsePort(flags.port);
  const options = serverOptions((name) => Deno.env.get(name), flags, resolvePath);
  const workers = options.workers ?? defaultWorkerCount() - 1;
  const { repositories, start, tokenFile, openRemoteAdapter } = await openServer({ ...options, workers }, {
    onNotice: (message) => console.warn(message),
    onChoice: flags.verbose ? ({ name, reason }) => console.detail(`linear is done by ${name}: ${reason}`) : undefined,
  });
  const { readToken, writeToken, maxBytes, publicUrl } = options;
  const app = createApp({
    ...{ repositories, readToken, writeToken, maxBytes, publicUrl, openRemoteAdapter },
    tokens: tokenFile === null ? undefined : parseTokenRules(tokenFile.bytes, tokenFile.name),
    log: flags.quiet ? () => {} : (line) => writeOut(`${JSON.stringify(line)}\n`),
    memoryUsage: () => Deno.memoryUsage(),
    releaseChunks: true,
  });
  // Also with -q: with port 0 nothing else tells where.
  const server = listen(flags.host, port, app.fetch, (address) => writeErr(`listening on ${address}\n`));
  const started = start(signal).catch((error) => {
    if (!signal.aborted) console.warn(error instanceof EtherError ? error.toLine() : String(error));
  });
  await aborted(signal);
  await shutDown(server);
  await started;
  await repositories.close();
  return 0;
}

/** Opens the port. @throws {EtherError} `io_error` where it is taken, forbidden, or the host is not this machine's */
function listen(
  hostname: string,
  port: number,
  fetch: (request: Request, info: Deno.ServeHandlerInfo) => Response | Promise<Response>,
  onListen: (address: string) => void,
): Deno.HttpServer<Deno.NetAddr> {
  try {
    return Deno.serve({
      ...{ hostname, port },
      // A stream that broke after its headers went out: the log of requests has said so.
      onError: () => new Response(null, { status: 500 }),
      onListen: (address) => {
        const host = address.hostname.includes(":") ? `[${address.hostname}]` : address.hostname;
        onListen(`http://${host}:${address.port}`);
      },
    }, fetch);
  } catch (error) {
    const message = error instanceof Deno.errors.AddrInUse ? "the port is in use" : (error as Error).message;
    throw new EtherError("io_error", message, {
      ...{ file: `${hostname}:${port}`, hint: "choose another --host or --port", cause: error },
    });
  }
}

/**
 * Takes no more connections, and lets streams end for a while, or until a second signal; the rest is cut when the
 * process ends with the command.
 */
async function shutDown(server: Deno.HttpServer): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, SHUTDOWN_MILLISECONDS);
  for (const name of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(name, resolve);
  await Promise.race([server.shutdown(), promise]);
  clearTimeout(timer);
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (port <= 65_535) return port;
  throw new EtherError("usage", `${JSON.stringify(text)} is no port`, {
    ...{ field: "--port", hint: "a number up to 65535; 0 takes one that is free" },
  });
}
