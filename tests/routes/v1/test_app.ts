/** An app over the real base of the fixtures, with adapters in memory. */
import { Hono } from "hono";
import { ByteBudget } from "../../../routes/access/budget.ts";
import { useAccess } from "../../../routes/access/middleware.ts";
import { simpleTokenRules, type TokenRule } from "../../../routes/access/token_rules.ts";
import { AccessRules } from "../../../routes/access/tokens.ts";
import { DEFAULT_LIMITS, type RouteContext, type RouteEnv, type RouteLimits } from "../../../routes/context.ts";
import { observeRoutes } from "../../../routes/observe/app.ts";
import type { LogLine } from "../../../routes/observe/log.ts";
import { Metrics } from "../../../routes/observe/metrics.ts";
import { openApiRoutes } from "../../../routes/openapi/app.ts";
import { answerProblem } from "../../../routes/problem.ts";
import { v1Routes } from "../../../routes/v1/app.ts";
import { openPlace } from "../../../runtime/deno/file_folder.ts";
import { EtherError } from "../../../runtime/error.ts";
import { fileStorage } from "../../../runtime/deno/merge_folder.ts";
import { Repositories } from "../../../runtime/repositories/repositories.ts";
import type { AdapterStore, ModelStore, NewAdapter, StoredAdapter } from "../../../runtime/repositories/stores.ts";

export const LLAMA = "fixtures/llama";
export const WRITE_TOKEN = "hf_writer";
export const READ_TOKEN = "hf_reader";

export type AdapterFiles = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

/** The two files of a fixture's adapter. */
export async function fixtureAdapter(name: string): Promise<AdapterFiles> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const path of ["adapter_config.json", "adapter_model.safetensors"]) {
    files.set(path, await Deno.readFile(`${LLAMA}/${name}/${path}`));
  }
  return files;
}

/** Adapters in memory, by id. */
export class MemoryAdapters implements AdapterStore {
  readonly adapters = new Map<string, StoredAdapter>();
  #count = 0;

  set(id: string, files: AdapterFiles, base: string | null = null): void {
    this.adapters.set(id, { id, stamp: String(this.#count++), base, files });
  }

  list() {
    return Promise.resolve([...this.adapters.values()].sort((a, b) => a.id < b.id ? -1 : 1));
  }

  read(id: string) {
    return Promise.resolve(this.adapters.get(id) ?? null);
  }

  put(id: string, { base, files }: NewAdapter): Promise<"created" | "replaced"> {
    const outcome = this.adapters.has(id) ? "replaced" : "created";
    this.set(id, files, base);
    return Promise.resolve(outcome);
  }

  remove(id: string) {
    return Promise.resolve(this.adapters.delete(id));
  }
}

export interface TestAppOptions {
  readonly tokens?: { readonly readToken?: string; readonly writeToken?: string };
  readonly rules?: readonly TokenRule[];
  readonly maxBytes?: number;
  readonly limits?: Partial<RouteLimits>;
  readonly openRemoteAdapter?: RouteContext["openRemoteAdapter"];
  /** Put in the place of the real one's. */
  readonly repositories?: Partial<Repositories>;
  /** Leave identities unknown. */
  readonly unstarted?: boolean;
}

/** What a test asks, and looks at. */
export interface TestApp {
  readonly app: Hono<RouteEnv>;
  readonly routes: RouteContext;
  readonly adapters: MemoryAdapters;
  readonly lines: LogLine[];
  ask(path: string, init?: RequestInit & { readonly token?: string | undefined }): Promise<Response>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** `tiny` is the base; `ether` and `plus` are adapters of it. */
export async function testApp(options: TestAppOptions = {}): Promise<TestApp> {
  const adapters = new MemoryAdapters();
  adapters.set("ether", await fixtureAdapter("ether"), "tiny");
  adapters.set("plus", await fixtureAdapter("etherplus"));
  const place = await openPlace(`${LLAMA}/base`);
  const model = { id: "tiny", place, stamp: "1", local: true, lastModified: null };
  const models: ModelStore = {
    list: () => Promise.resolve(["tiny"]),
    find: (id) => Promise.resolve(id === "tiny" ? model : null),
  };
  const real = new Repositories({ models, adapters, storage: fileStorage });
  if (options.unstarted !== true) await real.start();
  const repositories = new Proxy(real, {
    get: (target, name) => {
      const own = options.repositories as Record<PropertyKey, unknown> | undefined;
      const value = own !== undefined && name in own ? own[name] : Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const lines: LogLine[] = [];
  const routes: RouteContext = {
    repositories,
    access: new AccessRules(options.rules ?? await simpleTokenRules(options.tokens ?? {})),
    budget: new ByteBudget(options.maxBytes),
    metrics: new Metrics(),
    log: (line) => lines.push(line),
    openRemoteAdapter: options.openRemoteAdapter,
    releaseChunks: false,
    limits: { ...DEFAULT_LIMITS, ...options.limits },
  };
  const app = new Hono<RouteEnv>();
  useAccess(app, routes);
  app.route("/", v1Routes(routes));
  app.route("/", observeRoutes(routes));
  app.route("/", openApiRoutes(routes));
  app.onError(answerProblem);
  app.notFound((context) => answerProblem(new EtherError("not_found", "there is no such route"), context));
  return {
    ...{ app, routes, adapters, lines },
    async ask(path, { token, ...init } = {}) {
      const headers = new Headers(init.headers);
      if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
      return await app.request(path, { ...init, headers });
    },
    [Symbol.asyncDispose]: () => real.close(),
  };
}

/** A problem's code, once it is seen to be one. */
export async function problemCode(response: Response): Promise<string> {
  const type = response.headers.get("content-type");
  const body = await response.json();
  if (type !== "application/problem+json" || body.status !== response.status) {
    throw new Error(`no problem: ${response.status} ${type} ${JSON.stringify(body)}`);
  }
  return body.code;
}
