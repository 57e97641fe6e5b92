/** What a server is told, by flags and by variables of the same names. */
import { APPLY_BACKENDS, type ApplyBackend } from "../apply/apply_device.ts";
import { EtherError } from "../error.ts";
import { parseEndpoint, PUBLIC_ENDPOINT } from "../remote/endpoint.ts";
import { quote } from "../json/quote.ts";
import { HostRules } from "../remote/host_rules.ts";
import type { RemoteAccess } from "../remote/remote_storage.ts";
import { parseSize } from "./byte_size.ts";
import { MAX_WORKERS } from "./worker_limit.ts";

/** Flags of `serve`; each wins over its variable. Tokens have none: every user of a machine sees its command lines. */
export interface ServerFlags {
  readonly models?: string | undefined;
  readonly adapters?: string | undefined;
  /** Path of a JSON file. */
  readonly tokens?: string | undefined;
  readonly allowHosts?: string | undefined;
  readonly maxBytes?: string | undefined;
  readonly workers?: string | undefined;
  readonly backend?: string | undefined;
  readonly allowPth?: true | undefined;
  readonly publicUrl?: string | undefined;
}

/** What a server serves, and to whom. */
export interface ServerOptions {
  /** Path of the folder of models, or of one model. */
  readonly models: string;
  /** Path of the folder of adapters. @default no adapters */
  readonly adapters?: string | undefined;
  /** Reading takes this token. @default everyone reads */
  readonly readToken?: string | undefined;
  /** Adapters are put and removed with this token. @default nobody writes */
  readonly writeToken?: string | undefined;
  /** Path of a JSON file with the rules of more tokens. @default none */
  readonly tokens?: string | undefined;
  /** Who may be asked for models and adapters elsewhere, and as whom. @default nobody */
  readonly remote?: RemoteAccess | undefined;
  /** Bytes that all requests together may hold in memory. */
  readonly maxBytes?: number | undefined;
  /** Threads that compute long downloads, beside the one that sends them. @default none */
  readonly workers?: number | undefined;
  /** Who computes `linear`; merged files, whose digests are promised, stay on the CPU. @default auto */
  readonly backend?: ApplyBackend | undefined;
  /** Also read official checkpoints (`.pth`) from the folder of adapters. @default false */
  readonly allowPth?: boolean | undefined;
  /** The URL by which clients see the server, where a proxy takes a part of the path away. @default the request's */
  readonly publicUrl?: string | undefined;
}

/** Variables that {@link serverOptions} reads. */
export const SERVER_VARIABLES = [
  ...["ETHER_MODELS", "ETHER_ADAPTERS", "ETHER_READ_TOKEN", "ETHER_WRITE_TOKEN", "ETHER_TOKENS"],
  ...["ETHER_ALLOW_HOSTS", "ETHER_MAX_BYTES", "ETHER_WORKERS", "ETHER_BACKEND", "ETHER_ALLOW_PTH", "ETHER_PUBLIC_URL"],
  ...["HF_ENDPOINT", "HF_TOKEN"],
] as const;

/** Gives a variable's value; undefined for one that is not set. */
export type Environment = (name: string) => string | undefined;

/** Makes a path absolute. @throws {EtherError} `usage`, naming `field` */
export type ResolvePath = (path: string, field: string) => string;

/**
 * Reads flags and variables. A variable that is empty counts as not set.
 *
 * @throws {EtherError} `usage`, with the flag or the variable as its field
 */
export function serverOptions(env: Environment, flags: ServerFlags, resolvePath: ResolvePath): ServerOptions {
  const value = (flag: keyof ServerFlags & string, variable: string) => {
    const given = flags[flag];
    const [text, field] = typeof given === "string" ? [given, dashed(flag)] : [env(variable), variable];
    return text === undefined || (text === "" && field === variable) ? undefined : { text, field };
  };
  const path = (flag: "models" | "adapters" | "tokens", variable: string) => {
    const found = value(flag, variable);
    return found === undefined ? undefined : resolvePath(found.text, found.field);
  };

  const models = path("models", "ETHER_MODELS");
  if (models === undefined) {
    const hint = "name a folder of models: --models or ETHER_MODELS";
    throw new EtherError("usage", "there is nothing to serve", { field: "--models", hint });
  }
  const hosts = value("allowHosts", "ETHER_ALLOW_HOSTS");
  const maxBytes = value("maxBytes", "ETHER_MAX_BYTES");
  const workers = value("workers", "ETHER_WORKERS");
  const backend = value("backend", "ETHER_BACKEND");
  const publicUrl = value("publicUrl", "ETHER_PUBLIC_URL");
  return {
    models,
    adapters: path("adapters", "ETHER_ADAPTERS"),
    readToken: tokenOf(env, "ETHER_READ_TOKEN"),
    writeToken: tokenOf(env, "ETHER_WRITE_TOKEN"),
    tokens: path("tokens", "ETHER_TOKENS"),
    remote: remoteAccess(env, hosts),
    maxBytes: maxBytes === undefined ? undefined : parseSize(maxBytes.text, maxBytes.field),
    workers: workers === undefined ? undefined : workerCount(workers.text, workers.field),
    backend: backend === undefined ? undefined : backendOf(backend.text, backend.field),
    allowPth: flags.allowPth ?? switchOf(env, "ETHER_ALLOW_PTH"),
    publicUrl: publicUrl === undefined ? undefined : urlOf(publicUrl.text, publicUrl.field),
  };
}

/** `allowHosts` → `--allow-hosts`. */
function dashed(flag: string): string {
  return `--${flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function workerCount(text: string, field: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count <= MAX_WORKERS) return count;
  throw new EtherError("usage", `${quote(text)} is not a number from 0 to ${MAX_WORKERS}`, { field });
}

function backendOf(text: string, field: string): ApplyBackend {
  const backend = APPLY_BACKENDS.find((name) => name === text);
  if (backend !== undefined) return backend;
  throw new EtherError("usage", `${quote(text)} is not one of ${APPLY_BACKENDS.join(", ")}`, { field });
}

/** A token that no client can send would lock everyone out, or be taken for none. */
function tokenOf(env: Environment, field: string): string | undefined {
  const token = env(field);
  if (token === undefined || token === "") return undefined;
  if (/^[\x21-\x7e]{1,4096}$/.test(token)) return token;
  // The message does not show it: it may be a real token with a blank at its end.
  throw new EtherError("usage", "the token has characters that no header carries", { field, hint: "no blanks in it" });
}

/** The hosts of `a.example,b.example:8443`, and the Hub where the operator named one. */
function remoteAccess(env: Environment, hosts: { text: string; field: string } | undefined): RemoteAccess | undefined {
  const named = env("HF_ENDPOINT") || undefined;
  if (hosts === undefined && named === undefined) return undefined;
  const names = hosts === undefined ? [] : hosts.text.split(",").map((host) => host.trim());
  try {
    new HostRules({ hosts: names });
  } catch (error) {
    throw error instanceof EtherError ? error.within({ field: hosts!.field }) : error;
  }
  return {
    endpoint: named === undefined ? PUBLIC_ENDPOINT : parseEndpoint(named, "HF_ENDPOINT"),
    ...{ endpointNamed: named !== undefined, token: tokenOf(env, "HF_TOKEN"), hosts: names, publicRedirects: false },
  };
}

function urlOf(text: string, field: string): string {
  const url = URL.parse(text);
  if (url !== null && /^https?:$/.test(url.protocol) && url.search === "" && url.hash === "" && url.username === "") {
    return url.href.replace(/\/+$/, "");
  }
  const hint = "such as https://models.example.org/ether";
  throw new EtherError("usage", `${JSON.stringify(text)} is not a URL by which a client could see it`, { field, hint });
}

function switchOf(env: Environment, field: string): boolean {
  const text = env(field)?.toLowerCase() ?? "";
  if (["1", "true"].includes(text)) return true;
  if (["", "0", "false"].includes(text)) return false;
  throw new EtherError("usage", `${JSON.stringify(text)} is neither 1 nor 0`, { field, hint: "1 switches it on" });
}
