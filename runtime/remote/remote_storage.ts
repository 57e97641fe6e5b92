/** Files elsewhere: one session, one cache, and a pin for each file that was read. */
import type { ByteSource } from "../io/source.ts";
import { BlockCache } from "./block_cache.ts";
import { HostRules } from "./host_rules.ts";
import type { HttpClient } from "./http_client.ts";
import { HttpSource } from "./http_source.ts";
import { readLocator, type RemoteFile } from "./locator.ts";
import type { Pin } from "./pin.ts";
import { readBody } from "./body.ts";
import { type RetryPolicy, withRetry } from "./retry.ts";
import { RunShelf } from "./run_shelf.ts";
import { type Reply, Session } from "./session.ts";

export { parseEndpoint, PUBLIC_ENDPOINT } from "./endpoint.ts";

/** Who may be asked, and as whom: plain data, so that a thread can be told. */
export interface RemoteAccess {
  /** URL of the Hub, without a slash at its end. */
  readonly endpoint: string;
  /** The operator named the endpoint: it may be asked, at whatever address, by plain HTTP if it says so. */
  readonly endpointNamed: boolean;
  /** Goes to the endpoint, and nowhere else. */
  readonly token?: string | undefined;
  /** See {@link HostRulesOptions.hosts}. */
  readonly hosts: readonly string[];
  /** See {@link HostRulesOptions.publicRedirects}. */
  readonly publicRedirects: boolean;
  /** Bytes of the block cache. @default 16 MiB */
  readonly cacheBytes?: number | undefined;
}

/** How a storage works. */
export interface RemoteStorageOptions {
  readonly access: RemoteAccess;
  /** Makes the client, which must not reach private addresses but those that the rules allow. */
  readonly makeClient: (rules: HostRules) => HttpClient;
  /** Ends everything. */
  readonly signal?: AbortSignal | undefined;
  /** Pins that another thread has. */
  readonly pins?: ReadonlyMap<string, Pin> | undefined;
  readonly retry?: RetryPolicy | undefined;
  /** See {@link SessionOptions.patience}. */
  readonly patience?: number | undefined;
}

/** Pins that are kept; a server that sees more files has forgotten the oldest, whose next answer makes a new one. */
const MAX_PINS = 10_000;

/** Opens files elsewhere. */
export class RemoteStorage {
  readonly access: RemoteAccess;
  readonly session: Session;
  readonly signal: AbortSignal;
  readonly retry: RetryPolicy;
  readonly #client: HttpClient;
  readonly #cache: BlockCache;
  readonly #shelf = new RunShelf();
  readonly #pins: Map<string, Pin>;
  /** Version of a file → sources of it that are open. */
  readonly #open = new Map<string, number>();

  /** @throws {EtherError} `usage` for a host entry that names no host */
  constructor({ access, makeClient, signal, pins, retry, patience }: RemoteStorageOptions) {
    const { endpoint, endpointNamed, hosts, publicRedirects, token, cacheBytes } = access;
    const rules = new HostRules({ hosts, publicRedirects, endpoint: endpointNamed ? endpoint : undefined });
    this.access = access;
    this.#client = makeClient(rules);
    this.session = new Session({ client: this.#client, rules, endpoint, token, patience });
    this.signal = signal ?? new AbortController().signal;
    this.retry = retry ?? {};
    this.#cache = new BlockCache(cacheBytes);
    this.#pins = new Map(pins);
  }

  /** What is known of the files that were read, for other threads. */
  get pins(): ReadonlyMap<string, Pin> {
    return this.#pins;
  }

  /** Opens what a remote folder located. @throws {EtherError} `usage` for anything else */
  openSource(locator: string): ByteSource {
    const file = readLocator(locator);
    const version = versionOf(file);
    this.#open.set(version, (this.#open.get(version) ?? 0) + 1);
    const pin = file.etag === undefined ? null : { etag: file.etag, linkedEtag: null };
    return new HttpSource(file, {
      ...{ session: this.session, retry: this.retry, signal: this.signal },
      ...{ cache: this.#cache, shelf: this.#shelf, version },
      pin: () => this.#pins.get(version) ?? pin,
      setPin: (pin) => this.#setPin(version, pin),
      onClose: () => this.#release(version),
    });
  }

  /**
   * One answer, whatever its status is; its body is the caller's.
   *
   * @param name   what messages call it
   * @param judge  throws for an answer that is not to be had; a TransientError is tried again
   */
  async ask<T>(
    url: URL,
    name: string,
    judge: (reply: Reply) => T | Promise<T>,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<T> {
    return await withRetry(this.retry, name, this.signal, async () => {
      const reply = await this.session.get(url, headers, this.signal);
      try {
        return await judge(reply);
      } catch (error) {
        reply.abort(error);
        throw error;
      }
    });
  }

  /** The body of an answer, bounded. */
  async body(reply: Reply, limit: number, name: string): Promise<Uint8Array<ArrayBuffer>> {
    return await readBody(reply, limit, this.session.patience, name, this.signal);
  }

  /** Ends the connections that are kept for later. */
  close(): void {
    this.#client.close();
  }

  #setPin(version: string, pin: Pin): void {
    this.#pins.set(version, pin);
    if (this.#pins.size > MAX_PINS) this.#pins.delete(this.#pins.keys().next().value!);
  }

  #release(version: string): void {
    const count = this.#open.get(version)! - 1;
    if (count > 0) return void this.#open.set(version, count);
    this.#open.delete(version);
    this.#shelf.drop(version);
  }
}

/** A URL that is pinned to a commit names a version by itself; any other one with its ETag. */
function versionOf({ url, etag }: RemoteFile): string {
  return etag === undefined ? url : `${url} ${etag}`;
}
