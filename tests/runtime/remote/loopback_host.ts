/** A real host on this machine that serves a file, and does wrong where a test asks for it. */
import { guardedClient } from "../../../runtime/deno/guarded_client.ts";
import { RemoteStorage, type RemoteStorageOptions } from "../../../runtime/remote/remote_storage.ts";

/** A request that came. */
export interface Asked {
  readonly path: string;
  readonly range: string | null;
  readonly headers: Headers;
}

/** A host, what it was asked, and how it answers. */
export interface LoopbackHost extends AsyncDisposable {
  /** `http://127.0.0.1:<port>` */
  readonly origin: string;
  readonly asked: Asked[];
  /** Answers the next requests; each test sets its own. */
  answer: (request: Request) => Response | Promise<Response>;
}

/** Starts a host. */
export function startHost(answer: LoopbackHost["answer"] = () => new Response(null, { status: 404 })): LoopbackHost {
  const asked: Asked[] = [];
  const stop = new AbortController();
  const server = Deno.serve({
    ...{ hostname: "127.0.0.1", port: 0, onListen() {}, signal: stop.signal },
    onError: () => new Response(null, { status: 500 }),
  }, (request) => {
    const { pathname, search } = new URL(request.url);
    asked.push({ path: pathname + search, range: request.headers.get("range"), headers: request.headers });
    return host.answer(request);
  });
  const host: LoopbackHost = {
    ...{ origin: `http://127.0.0.1:${server.addr.port}`, asked, answer },
    // At once: some answers never end.
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await server.finished;
    },
  };
  return host;
}

/** What {@link serveBytes} does otherwise. */
export interface Serving {
  readonly etag?: string | null;
  /** The body, where it is not the bytes that were asked for. */
  readonly body?: (bytes: Uint8Array<ArrayBuffer>, start: number) => BodyInit;
  /** Headers to set; null takes one away. */
  readonly headers?: Readonly<Record<string, string | null>>;
}

/** Answers a Range, and If-Range, as it should be. */
export function serveBytes(request: Request, bytes: Uint8Array<ArrayBuffer>, serving: Serving = {}): Response {
  const { etag = '"v1"', body = (part) => part } = serving;
  const headers = new Headers({ "accept-ranges": "bytes" });
  if (etag !== null) headers.set("etag", etag);
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("range") ?? "") ?? [];
  const ifRange = request.headers.get("if-range");
  let [status, start, end] = [200, 0, bytes.byteLength];
  if (first !== undefined && (ifRange === null || ifRange === etag)) {
    start = Number(first);
    end = Math.min(bytes.byteLength, last === "" ? Infinity : Number(last) + 1);
    if (start >= bytes.byteLength) {
      return new Response(null, { status: 416, headers: { "content-range": `bytes */${bytes.byteLength}` } });
    }
    status = 206;
    headers.set("content-range", `bytes ${start}-${end - 1}/${bytes.byteLength}`);
  }
  headers.set("content-length", String(end - start));
  for (const [name, value] of Object.entries(serving.headers ?? {})) {
    if (value === null) headers.delete(name);
    else headers.set(name, value);
  }
  return new Response(body(bytes.subarray(start, end), start), { status, headers });
}

/** A body that is cut after some bytes. */
export function cutAfter(bytes: Uint8Array<ArrayBuffer>, count: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  let sent = false;
  return new ReadableStream({
    async pull(controller) {
      if (!sent) controller.enqueue(bytes.slice(0, count));
      // Time for what was sent to arrive; what comes of the test does not depend on it.
      else await new Promise((resolve) => setTimeout(resolve, 20)).then(() => controller.error("cut"));
      sent = true;
    },
  }, { highWaterMark: 0 });
}

/** Bytes that tell where they come from. */
export function someBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = 1;
  for (let i = 0; i < length; i++) bytes[i] = state = (state * 73 + 41) % 65521;
  return bytes;
}

/** A storage by which a host may be asked, and what it waited for instead of waiting. */
export interface TestStorage extends Disposable {
  readonly storage: RemoteStorage;
  /** Milliseconds of each wait. */
  readonly waits: number[];
  readonly notices: string[];
}

/** Makes a storage whose endpoint is the host's. */
export function storageFor(
  endpoint: string,
  access: Partial<RemoteStorageOptions["access"]> = {},
  options: Partial<RemoteStorageOptions> = {},
): TestStorage {
  const waits: number[] = [];
  const notices: string[] = [];
  const storage = new RemoteStorage({
    access: { endpoint, endpointNamed: true, hosts: [], publicRedirects: false, ...access },
    makeClient: guardedClient,
    retry: {
      wait: (milliseconds) => {
        waits.push(milliseconds);
        return Promise.resolve();
      },
      onRetry: (message) => void notices.push(message),
    },
    ...options,
  });
  return { storage, waits, notices, [Symbol.dispose]: () => storage.close() };
}
