/** What a user may name: a path of this machine, `hf://owner/repo[@revision]`, or the `https://` URL of a folder or file. */
import type { Place } from "../checkpoints/model.ts";
import type { OpenSource } from "../io/folder.ts";
import type { Storage } from "../plans/prepare_merge.ts";
import { isRemoteLocator } from "../remote/locator.ts";
import type { OpenedReference } from "../remote/open_reference.ts";
import type { Pin } from "../remote/pin.ts";
import { isReference, parseReference } from "../remote/reference.ts";
import type { RemoteAccess, RemoteStorage } from "../remote/remote_storage.ts";
import { startDigest } from "./digest.ts";
import { openPlace } from "./file_folder.ts";
import { openFileSource } from "./file_source.ts";
import type { RemoteStart } from "./worker_protocol.ts";

/** How places elsewhere are reached. */
export interface PlacesOptions {
  /** Who may be asked, and as whom. */
  readonly access: RemoteAccess;
  /** Ends everything. */
  readonly signal?: AbortSignal | undefined;
  /** Told of each request that is made again. */
  readonly onRetry?: ((message: string) => void) | undefined;
  /** Pins that another thread has. */
  readonly pins?: ReadonlyMap<string, Pin> | undefined;
}

/**
 * Opens places and the files in them. What is needed for those elsewhere is loaded with the first of them.
 *
 * @internal
 */
export class Places {
  /** See {@link PlacesOptions.onRetry}. */
  readonly onRetry: ((message: string) => void) | undefined;
  readonly #options: PlacesOptions;
  #loading: Promise<RemoteStorage> | null = null;
  #remote: RemoteStorage | null = null;

  constructor(options: PlacesOptions) {
    this.#options = options;
    this.onRetry = options.onRetry;
  }

  /**
   * What a path or a reference means.
   *
   * @param path   as the user gave it; of this machine: absolute, or relative to the working directory
   * @param name   what messages call a path. @default the path
   * @param field  the flag, for messages
   * @throws {EtherError} `usage` for a reference that is none, and whatever opening it meets
   */
  async open(path: string, name: string = path, field?: string): Promise<Place> {
    return isReference(path) ? (await this.follow(path, field)).place : await openPlace(path, name);
  }

  /** Follows a reference. @throws {EtherError} see {@link openReference} */
  async follow(text: string, field?: string): Promise<OpenedReference> {
    const reference = parseReference(text, field);
    const { openReference } = await import("../remote/open_reference.ts");
    return await openReference(reference, await this.#storage());
  }

  /** Opens files of this machine, and what a folder elsewhere located. */
  readonly openSource: OpenSource = (locator) => {
    if (!isRemoteLocator(locator)) return openFileSource(locator);
    return this.#remote?.openSource(locator) ?? this.#storage().then((remote) => remote.openSource(locator));
  };

  /** What plans are made with. */
  readonly storage: Storage = { openSource: this.openSource, startDigest };

  /** What another thread needs for the same; undefined where nothing elsewhere was opened. */
  threadStart(): RemoteStart | undefined {
    return this.#remote === null ? undefined : { access: this.#options.access, pins: this.#remote.pins };
  }

  /** Ends the connections that are kept for later. */
  close(): void {
    this.#remote?.close();
  }

  #storage(): Promise<RemoteStorage> {
    return this.#loading ??= this.#load();
  }

  async #load(): Promise<RemoteStorage> {
    const [{ RemoteStorage }, { guardedClient }] = await Promise.all([
      import("../remote/remote_storage.ts"),
      import("./guarded_client.ts"),
    ]);
    const { access, signal, pins, onRetry } = this.#options;
    return this.#remote = new RemoteStorage({
      ...{ access, signal, pins, retry: { onRetry } },
      makeClient: guardedClient,
    });
  }
}
