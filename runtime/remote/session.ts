/** Requests that follow redirects by hand, each hop checked, and carry a token to nobody but the endpoint. */
import { EtherError } from "../error.ts";
import type { HostRules } from "./host_rules.ts";
import type { HttpClient } from "./http_client.ts";
import { throwIfAborted, TransientError } from "./retry.ts";

/** More hops than this go in a circle. */
const MAX_REDIRECTS = 5;
/** More response headers than any honest host sends. */
const MAX_HEADERS = 200;
/** How long a host may take to answer, and to go on with a body that is being read. */
export const DEFAULT_PATIENCE = 30_000;

/** Who is asked, and how. */
export interface SessionOptions {
  readonly client: HttpClient;
  readonly rules: HostRules;
  /** URL of the Hub, without a slash at its end: the token's only addressee. */
  readonly endpoint: string;
  readonly token?: string | undefined;
  /** Milliseconds to an answer, and between two pieces of its body. @default 30 s */
  readonly patience?: number | undefined;
}

/** An answer that is no redirect. */
export interface Reply {
  readonly response: Response;
  /** Aborts the exchange. */
  readonly abort: (reason: unknown) => void;
  /** `X-Linked-Etag` of a redirect at the endpoint: what the file is, whoever sends its bytes. */
  readonly linkedEtag: string | null;
}

/** Sends requests by the rules of one access. */
export class Session {
  readonly patience: number;
  readonly #options: SessionOptions;
  readonly #endpointOrigin: string;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#endpointOrigin = new URL(options.endpoint).origin;
    this.patience = options.patience ?? DEFAULT_PATIENCE;
  }

  /** True where requests to the endpoint carry a token. */
  get hasToken(): boolean {
    return this.#options.token !== undefined;
  }

  /**
   * Gets a URL. The body is the caller's to read or to cancel.
   *
   * @param headers  beside those that every request has
   * @throws {TransientError} where the exchange fails
   * @throws {EtherError} `host_refused`, `unsupported` for a body that is not as it was stored
   */
  async get(start: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Reply> {
    const controller = new AbortController();
    const abort = (reason: unknown) => controller.abort(reason);
    const onAbort = () => abort(signal.reason);
    throwIfAborted(signal);
    signal.addEventListener("abort", onAbort, { once: true });
    const timer = setTimeout(() => abort(new Error("no answer")), this.patience);
    try {
      let url = start;
      let linkedEtag: string | null = null;
      let withToken = true;
      for (let hops = 0;; hops++) {
        this.#options.rules.check(url, hops > 0);
        // A host that was sent away to may send back, but not with the token.
        withToken &&= url.origin === this.#endpointOrigin;
        const response = await this.#send(url, headers, withToken, controller.signal);
        if (!isRedirect(response.status)) {
          const reply = { response, abort, linkedEtag };
          refuseEncoded(response);
          return reply;
        }
        await response.body?.cancel();
        if (url.origin === this.#endpointOrigin) linkedEtag ??= response.headers.get("x-linked-etag");
        if (hops === MAX_REDIRECTS) {
          throw new EtherError("io_error", `more than ${MAX_REDIRECTS} redirects`);
        }
        url = nextUrl(url, response.headers.get("location"));
      }
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    }
  }

  async #send(
    url: URL,
    extra: Readonly<Record<string, string>>,
    withToken: boolean,
    signal: AbortSignal,
  ): Promise<Response> {
    const headers = new Headers({ ...extra, "accept-encoding": "identity", "user-agent": "ether-edge" });
    const { token, client } = this.#options;
    if (withToken && token !== undefined) headers.set("authorization", `Bearer ${token}`);
    let response: Response;
    try {
      response = await client.send({ url, method: "GET", headers, signal });
    } catch (error) {
      if (error instanceof EtherError) throw error;
      // A right that the process does not have will not come by itself.
      if ((error as Error).name === "NotCapable") throw new EtherError("io_error", (error as Error).message);
      const { message } = signal.aborted ? signal.reason as Error : error as Error;
      throw new TransientError(`${url.host} does not answer: ${message}`, { cause: error });
    }
    if ([...response.headers].length > MAX_HEADERS) {
      await response.body?.cancel();
      throw new EtherError("io_error", `${url.host} answers with more than ${MAX_HEADERS} headers`);
    }
    return response;
  }
}

function isRedirect(status: number): boolean {
  return [301, 302, 303, 307, 308].includes(status);
}

function nextUrl(from: URL, location: string | null): URL {
  const next = location === null ? null : URL.parse(location, from);
  if (next === null) throw new EtherError("io_error", `${from.host} redirects to nowhere`);
  return next;
}

function refuseEncoded(response: Response): void {
  const encoding = response.headers.get("content-encoding");
  if (encoding === null || encoding.toLowerCase() === "identity") return;
  response.body?.cancel().catch(() => {});
  const hint = "the host must send files as they are: turn its compression off for them";
  throw new EtherError("unsupported", `the answer is encoded as ${encoding}`, { hint });
}
