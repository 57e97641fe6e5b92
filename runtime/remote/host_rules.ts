/** Which hosts may be reached: those that were named. */
import { EtherError } from "../error.ts";

/** What may be reached. */
export interface HostRulesOptions {
  /**
   * `host`, `host:port`, `*.host` (its subdomains), all by https; or `http://host:port`, which is the only way to plain
   * HTTP. An address, or `localhost`, that is named here may be a private one.
   *
   * @default none
   */
  readonly hosts?: readonly string[] | undefined;
  /** A URL whose origin may be reached whatever address it has: an endpoint that the operator set. @default none */
  readonly endpoint?: string | undefined;
  /** Follow redirects to any https host with a public address. @default false */
  readonly publicRedirects?: boolean | undefined;
}

interface Entry {
  readonly origin: string;
  /** May have a private address: it was named by that address. */
  readonly private: boolean;
}

/** An allow-list of hosts. */
export class HostRules {
  readonly #entries: readonly Entry[];
  /** `.host` of each `*.host`. */
  readonly #suffixes: readonly string[];
  readonly #publicRedirects: boolean;

  /** @throws {EtherError} `usage` for an entry that names no host */
  constructor({ hosts = [], endpoint, publicRedirects = false }: HostRulesOptions) {
    const entries = hosts.filter((host) => !host.startsWith("*.")).map(parseEntry);
    if (endpoint !== undefined) entries.push({ origin: new URL(endpoint).origin, private: true });
    this.#entries = entries;
    this.#suffixes = hosts.filter((host) => host.startsWith("*.")).map((host) => {
      return `.${new URL(parseEntry(host.slice(2)).origin).hostname}`;
    });
    this.#publicRedirects = publicRedirects;
  }

  /**
   * Refuses a URL that must not be asked.
   *
   * @param redirected  true where a host named it, not the user
   * @throws {EtherError} `host_refused`
   */
  check(url: URL, redirected: boolean): void {
    if (url.username !== "" || url.password !== "") throw refused(url, "it carries a name or a password", undefined);
    if (this.#entries.some(({ origin }) => origin === url.origin)) return;
    if (url.protocol !== "https:") {
      throw refused(url, "it is not https", `plain HTTP is for hosts that are named as ${url.origin}`);
    }
    if (url.port === "" && this.#suffixes.some((suffix) => url.hostname.endsWith(suffix))) return;
    if (redirected && this.#publicRedirects) return;
    throw refused(url, `${url.host} is not among the allowed hosts`, "whoever runs this can allow it by name");
  }

  /** True where the URL's host may have a private address. */
  allowsPrivate(url: URL): boolean {
    return this.#entries.some((entry) => entry.private && entry.origin === url.origin);
  }
}

/** `host_refused`, without the URL's path or query, which may be signed. */
function refused(url: URL, message: string, hint: string | undefined): EtherError {
  return new EtherError("host_refused", `${url.protocol}//${url.host} is not asked: ${message}`, { hint });
}

const ENTRY = /^(?:(https?):\/\/)?(\[[0-9a-f:.]+\]|[a-z0-9][a-z0-9._-]*)(?::\d{1,5})?$/i;

function parseEntry(text: string): Entry {
  const [, scheme, host] = ENTRY.exec(text) ?? [];
  const url = host === undefined ? null : URL.parse(scheme === undefined ? `https://${text}` : text);
  if (url === null) {
    const hint = "host, host:port, *.host, or http://host:port";
    throw new EtherError("usage", `${JSON.stringify(text)} names no host`, { hint });
  }
  return { origin: url.origin, private: url.hostname === "localhost" || isAddress(url.hostname) };
}

/** A URL's host name that is an address; the URL parser has turned every spelling into the one with four decimals. */
export function isAddress(hostname: string): boolean {
  return hostname.startsWith("[") || /^\d+\.\d+\.\d+\.\d+$/.test(hostname);
}
