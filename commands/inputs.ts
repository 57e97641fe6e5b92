/** What a command reads: paths of this machine, and references elsewhere with what the environment says about them. */
import { Places } from "../runtime/deno/places.ts";
import { EtherError } from "../runtime/error.ts";
import { parseEndpoint, PUBLIC_ENDPOINT } from "../runtime/remote/endpoint.ts";
import { isReference, parseReference, type Reference } from "../runtime/remote/reference.ts";
import type { RemoteAccess } from "../runtime/remote/remote_storage.ts";
import { resolvePath } from "./paths.ts";
import type { CommandContext } from "./run_command.ts";

/** A reference as it is, a path as an absolute one. @throws {EtherError} `usage` */
export function resolveInput(text: string, flag: string): string {
  if (!isReference(text)) return resolvePath(text, flag);
  parseReference(text, flag);
  return text;
}

/**
 * Opens what a command was told to read.
 *
 * Who types a reference allows its host, and redirects from there to any public host by https.
 *
 * @param inputs  all that the user named, paths too, by their flag
 * @throws {EtherError} `usage` for an environment that is wrong; it is looked at only where there is a reference
 */
export function placesFor(
  inputs: Readonly<Record<string, string | readonly string[] | undefined>>,
  { console, signal }: Pick<CommandContext, "console" | "signal">,
): Places {
  const references = Object.entries(inputs).flatMap(([flag, named]) => {
    const texts = typeof named === "string" ? [named] : named ?? [];
    return texts.filter(isReference).map((text) => parseReference(text, flag));
  });
  const access = references.length === 0 ? NOWHERE : accessTo(references);
  return new Places({ access, signal, onRetry: (message) => console.detail(message) });
}

const NOWHERE: RemoteAccess = { endpoint: PUBLIC_ENDPOINT, endpointNamed: false, hosts: [], publicRedirects: false };

function accessTo(references: readonly Reference[]): RemoteAccess {
  const named = Deno.env.get("HF_ENDPOINT") || undefined;
  const endpoint = named === undefined ? PUBLIC_ENDPOINT : parseEndpoint(named, "HF_ENDPOINT");
  const hosts = references.flatMap((reference) => {
    if (reference.kind === "hub") return named === undefined ? [endpoint] : [];
    // Plain HTTP is not allowed by typing it, but by HF_ENDPOINT.
    return reference.folder.protocol === "https:" ? [reference.folder.host] : [];
  });
  return { endpoint, endpointNamed: named !== undefined, token: findToken(), hosts, publicRedirects: true };
}

/** `HF_TOKEN`, else what the Hub's own command line has kept. */
function findToken(): string | undefined {
  const token = Deno.env.get("HF_TOKEN")?.trim() || keptToken();
  if (token === undefined || /^[\x21-\x7e]{1,1024}$/.test(token)) return token;
  throw new EtherError("usage", "is no token", { field: "HF_TOKEN", hint: "it begins with hf_ and has no blanks" });
}

function keptToken(): string | undefined {
  const home = Deno.env.get("HOME");
  const folder = Deno.env.get("HF_HOME") || (home ? `${home}/.cache/huggingface` : undefined);
  if (folder === undefined) return undefined;
  try {
    return Deno.readTextFileSync(`${folder}/token`).trim() || undefined;
  } catch {
    // Most machines have none.
    return undefined;
  }
}
