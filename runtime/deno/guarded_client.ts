/**
 * HTTP that looks at addresses: a name is resolved once, every address that it has is checked, and the connection goes
 * to one that was. `fetch` would resolve the name again, and may get another answer.
 */
import { lookup } from "node:dns";
import http from "node:http";
import https from "node:https";
import { EtherError } from "../error.ts";
import { type HostRules, isAddress } from "../remote/host_rules.ts";
import type { HttpClient, HttpRequest } from "../remote/http_client.ts";
import { isPublicAddress } from "./public_address.ts";

/** A client by the rules that name what is allowed. */
export function guardedClient(rules: HostRules): GuardedClient {
  return new GuardedClient({ allowsPrivate: (url) => rules.allowsPrivate(url) });
}

/** Connections to one host; further requests wait for one. */
const MAX_SOCKETS = 32;
/** Connections that are kept when nobody uses them. */
const MAX_FREE_SOCKETS = 4;
/** Bytes of an answer's headers. */
const MAX_HEADER_BYTES = 64 * 1024;
/** Milliseconds to a connection. */
const CONNECT_MILLISECONDS = 15_000;

/** How names become addresses. */
type Resolve = (host: string) => Promise<readonly ResolvedAddress[]>;

interface ResolvedAddress {
  readonly address: string;
  readonly family: number;
}

/** What a client is guarded by. */
export interface GuardedClientOptions {
  /** URLs whose host may have a private address. */
  readonly allowsPrivate: (url: URL) => boolean;
  /** Resolves names. @default the operating system's resolver */
  readonly resolve?: Resolve | undefined;
}

/** Sends requests to public addresses, and to others only where that is allowed. */
export class GuardedClient implements HttpClient {
  readonly #allowsPrivate: (url: URL) => boolean;
  readonly #resolve: Resolve;
  readonly #agents: Readonly<Record<string, http.Agent>>;

  constructor({ allowsPrivate, resolve = resolveName }: GuardedClientOptions) {
    this.#allowsPrivate = allowsPrivate;
    this.#resolve = resolve;
    const options = { keepAlive: true, maxSockets: MAX_SOCKETS, maxFreeSockets: MAX_FREE_SOCKETS };
    this.#agents = { "http:": new http.Agent(options), "https:": new https.Agent(options) };
  }

  async send({ url, method, headers, body, signal }: HttpRequest): Promise<Response> {
    const host = url.hostname.replace(/^\[|\]$/g, "");
    // An address needs no lookup, and gets none.
    if (isAddress(url.hostname)) this.#check(url, host);
    const addresses = isAddress(url.hostname) ? [] : await this.#addressesOf(url, host);
    signal?.throwIfAborted();
    for (const { address } of addresses) requireRight(url, address);
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const request = (url.protocol === "https:" ? https : http).request({
      ...{ host, port: url.port || undefined, path: url.pathname + url.search, method },
      ...{ headers: Object.fromEntries(headers), agent: this.#agents[url.protocol]!, maxHeaderSize: MAX_HEADER_BYTES },
      lookup: (_host, options, callback) => {
        if (options.all) callback(null, addresses.map(({ address, family }) => ({ address, family })));
        else callback(null, addresses[0]!.address, addresses[0]!.family);
      },
    });
    const abort = () => request.destroy(signal!.reason instanceof Error ? signal!.reason : new Error("stopped"));
    signal?.addEventListener("abort", abort, { once: true });
    const timer = setTimeout(() => request.destroy(new Error("no connection")), CONNECT_MILLISECONDS);
    request.on("socket", (socket) => {
      if (!socket.connecting) clearTimeout(timer);
      else socket.once("connect", () => clearTimeout(timer));
    });
    request.on("response", (incoming) => {
      clearTimeout(timer);
      try {
        resolve(responseOf(incoming, () => signal?.removeEventListener("abort", abort)));
      } catch (error) {
        incoming.destroy();
        reject(error);
      }
    });
    request.on("error", (error) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      reject(error);
    });
    request.end(body);
    return await promise;
  }

  close(): void {
    for (const agent of Object.values(this.#agents)) agent.destroy();
  }

  async #addressesOf(url: URL, host: string): Promise<readonly ResolvedAddress[]> {
    const addresses = await this.#resolve(host);
    if (addresses.length === 0) throw new Error("the name has no address");
    // One private address among public ones would be tried sooner or later.
    for (const { address } of addresses) this.#check(url, address);
    return addresses;
  }

  #check(url: URL, address: string): void {
    if (isPublicAddress(address) || this.#allowsPrivate(url)) return;
    const hint = `a host in a private network is named by its address, such as http://${
      address.includes(":") ? `[${address}]` : address
    }:8000`;
    throw new EtherError("host_refused", `${url.host} has the address ${address}, which is not public`, { hint });
  }
}

/**
 * A connection that is not allowed ends the process: its error comes out of the resolver's callback, where nobody
 * catches it.
 *
 * @throws {EtherError} `io_error`
 */
function requireRight({ port, protocol }: URL, address: string): void {
  const host = `${address.includes(":") ? `[${address}]` : address}:${port || (protocol === "https:" ? 443 : 80)}`;
  if (Deno.permissions.querySync({ name: "net", host }).state === "granted") return;
  const hint = "--allow-net without a list: connections go to addresses that were checked";
  throw new EtherError("io_error", `the process may not connect to ${host}`, { hint });
}

function resolveName(host: string): Promise<readonly ResolvedAddress[]> {
  const { promise, resolve, reject } = Promise.withResolvers<readonly ResolvedAddress[]>();
  lookup(host, { all: true, verbatim: true }, (error, addresses) => error ? reject(error) : resolve(addresses));
  return promise;
}

/** Statuses that have no body. */
const BODILESS = [204, 205, 304];

function responseOf(incoming: http.IncomingMessage, onEnd: () => void): Response {
  const headers = new Headers();
  for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
    headers.append(incoming.rawHeaders[i]!, incoming.rawHeaders[i + 1]!);
  }
  const status = incoming.statusCode ?? 0;
  if (status < 200 || status > 599) throw new Error(`a status of ${status}`);
  if (BODILESS.includes(status)) {
    incoming.resume();
    onEnd();
    return new Response(null, { status, headers });
  }
  return new Response(bodyOf(incoming, onEnd), { status, headers });
}

/** Pulled piece by piece: nothing is taken from the socket ahead of what the reader asks for. */
function bodyOf(incoming: http.IncomingMessage, onEnd: () => void): ReadableStream<Uint8Array<ArrayBuffer>> {
  const pieces = incoming[Symbol.asyncIterator]() as AsyncIterator<Uint8Array<ArrayBuffer>>;
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await pieces.next();
        if (!done) return controller.enqueue(value);
        onEnd();
        controller.close();
      } catch (error) {
        onEnd();
        controller.error(error);
      }
    },
    cancel() {
      onEnd();
      incoming.destroy();
    },
  }, { highWaterMark: 0 });
}
