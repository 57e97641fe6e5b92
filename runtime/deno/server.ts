/** A server's repositories over folders of this machine, and over hosts that the operator allows. */
import type { BackendChoice } from "../apply/apply_device.ts";
import { EtherError } from "../error.ts";
import type { ByteSource } from "../io/source.ts";
import type { OpenSource } from "../io/folder.ts";
import { isRemoteLocator } from "../remote/locator.ts";
import type { RemoteAccess } from "../remote/remote_storage.ts";
import { LinearDevices } from "../repositories/linear_devices.ts";
import { Repositories } from "../repositories/repositories.ts";
import type { AdapterStore } from "../repositories/stores.ts";
import { AdapterFolder } from "./adapter_folder.ts";
import { startDigest } from "./digest.ts";
import { lookAt } from "./file_mark.ts";
import { FileSource } from "./file_source.ts";
import { ioError } from "./io_error.ts";
import { ModelFolder } from "./model_folder.ts";
import { ModelsElsewhere, openHidden } from "./models_elsewhere.ts";
import { Places } from "./places.ts";
import { readRemoteAdapter } from "./remote_adapter.ts";
import type { ServerOptions } from "./server_options.ts";
import { StreamThreadPool } from "./stream_thread_pool.ts";

/** What a server's operator is told beside the log of requests. */
export interface ServerNotices {
  /** Told once of each thing that is left out, and of hosts that do not answer. */
  readonly onNotice?: ((message: string) => void) | undefined;
  /** Told once, when it is decided, who computes `linear`, and why. */
  readonly onChoice?: ((choice: BackendChoice) => void) | undefined;
}

type OpenRemoteAdapter = (
  source: string,
  signal?: AbortSignal,
) => Promise<ReadonlyMap<string, Uint8Array<ArrayBuffer>>>;

/** What an app is made of. */
export interface OpenedServer {
  readonly repositories: Repositories;
  /** `repositories.start`, and a notice for each base that cannot be served. @throws the signal's reason */
  readonly start: (signal?: AbortSignal) => Promise<void>;
  /** The file of tokens, for the app to read its rules from; null where there is none. */
  readonly tokenFile: { readonly name: string; readonly bytes: Uint8Array<ArrayBuffer> } | null;
  /** Reads an adapter from a reference; undefined where no host is allowed. */
  readonly openRemoteAdapter: OpenRemoteAdapter | undefined;
}

/** A file of tokens larger than this is not one. */
const MAX_TOKEN_FILE_BYTES = 16 << 20;

/** Notices that are remembered; the start, which looks at them, comes early. */
const MAX_TOLD = 10_000;

const NO_ADAPTERS: AdapterStore = { list: () => Promise.resolve([]), read: () => Promise.resolve(null) };

/**
 * Opens the folders that a server serves. No model is read yet: `start()` does what may take long.
 *
 * @throws {EtherError} `not_found` for a folder that is not there, `unsupported` for the backend `webgpu` without a GPU,
 * `io_error`, `usage`
 */
export async function openServer(options: ServerOptions, notices: ServerNotices = {}): Promise<OpenedServer> {
  const told = new Set<string>();
  const onNotice = (message: string) => {
    if (told.size < MAX_TOLD) told.add(message);
    notices.onNotice?.(message);
  };
  for (const folder of [options.models, options.adapters]) {
    if (folder !== undefined && !lookAt(folder)?.isFolder) {
      throw new EtherError("not_found", "no such folder", {
        file: folder,
        hint: "make it, and let the server read it",
      });
    }
  }
  const tokenFile = options.tokens === undefined ? null : await readTokenFile(options.tokens);
  const places = options.remote === undefined ? null : new Places({ access: options.remote, onRetry: onNotice });
  const elsewhere = new ModelsElsewhere();
  const follow = places === null ? refuseReference : (source: string) => places.follow(source, "source");
  const folder = new ModelFolder(options.models, { onNotice, followReference: elsewhere.watch(follow) });
  const models = elsewhere.hide(folder);
  let adapters = NO_ADAPTERS;
  if (options.adapters !== undefined) {
    const folder = new AdapterFolder(options.adapters, { onNotice, allowPth: options.allowPth });
    await folder.sweep();
    adapters = folder;
  }
  const root = await Deno.realPath(options.models);
  const openSource: OpenSource = (locator) => {
    if (!isRemoteLocator(locator)) return openNamed(locator, root);
    if (places === null) throw new EtherError("unsupported", "no host is allowed", { hint: "see --allow-hosts" });
    return openHidden(() => places.openSource(locator), locator);
  };
  const { workers: maxCount = 0, allowPth = false, backend = "auto" } = options;
  const threads = maxCount === 0 ? undefined : new StreamThreadPool({ maxCount, onNotice });
  const devices = await LinearDevices.open({ backend, onNotice, onChoice: notices.onChoice });
  const repositories = new Repositories({
    ...{ models, adapters, storage: { openSource, startDigest }, allowPth, threads, devices },
  });
  return {
    ...{ repositories, tokenFile },
    start: async (signal) => {
      await repositories.start(signal);
      for (const { id, error } of repositories.state.failed) {
        const { cause } = error;
        const message = `${id}: ${(cause instanceof EtherError ? cause : error).toLine()}`;
        // Of a reference it may have been said when it was followed.
        if (!told.has(message)) onNotice(message);
      }
    },
    openRemoteAdapter: options.remote === undefined ? undefined : adapterReader(options.remote, onNotice),
  };
}

function refuseReference(source: string): Promise<never> {
  const hint = "name its host in ETHER_ALLOW_HOSTS or --allow-hosts";
  return Promise.reject(new EtherError("unsupported", `${source} is elsewhere, and no host is allowed`, { hint }));
}

/** Each reading has connections of its own, which end with it. */
function adapterReader(access: RemoteAccess, onNotice: ServerNotices["onNotice"]): OpenRemoteAdapter {
  return async (source, signal) => {
    const places = new Places({ access, signal, onRetry: onNotice });
    try {
      return await readRemoteAdapter(places, source);
    } finally {
      places.close();
    }
  };
}

async function readTokenFile(path: string): Promise<OpenedServer["tokenFile"]> {
  try {
    if ((await Deno.stat(path)).size > MAX_TOKEN_FILE_BYTES) {
      throw new EtherError("too_large", "too large for a file of tokens", { file: path });
    }
    return { name: path, bytes: await Deno.readFile(path) };
  } catch (error) {
    throw ioError(error, path);
  }
}

/** A file of this machine, by the name that a client may see: where it lies is the operator's business. */
function openNamed(path: string, root: string): ByteSource {
  const name = path.startsWith(`${root}/`) ? path.slice(root.length + 1) : path.slice(path.lastIndexOf("/") + 1);
  try {
    const source = new FileSource(path);
    return {
      ...{ name, size: source.size },
      read(offset, into) {
        try {
          return source.read(offset, into);
        } catch (error) {
          throw renamed(error, path, name);
        }
      },
      mark() {
        try {
          return source.mark();
        } catch (error) {
          throw renamed(error, path, name);
        }
      },
      close: () => source.close(),
    };
  } catch (error) {
    throw renamed(error, path, name);
  }
}

function renamed(error: unknown, path: string, name: string): EtherError {
  const { code, message, hint, cause } = ioError(error, name);
  return new EtherError(code, message.replaceAll(path, name), { file: name, hint, cause });
}
