/** Bases and adapters as repositories: what a server answers from, whatever it speaks. */
import type { BackendChoice } from "../apply/apply_device.ts";
import { EtherError } from "../error.ts";
import { quote } from "../json/quote.ts";
import type { OpenSource } from "../io/folder.ts";
import type { Storage } from "../plans/prepare_merge.ts";
import { isAdapterId, isCommit, parseRecipe, type Recipe } from "../recipes/recipe.ts";
import {
  AdapterCatalog,
  type AdapterRecord,
  type AdapterSummary,
  type BrokenAdapter,
  type OpenedAdapter,
  type Visible,
} from "./adapter_catalog.ts";
import { ApplyCatalog, type ApplyLease, type ApplyUse } from "./apply_catalog.ts";
import { BaseCatalog, type CatalogState } from "./base_catalog.ts";
import type { BaseRepository } from "./base_repository.ts";
import { DEFAULT_LIMITS, type RepositoryLimits } from "./limits.ts";
import { LinearDevices } from "./linear_devices.ts";
import { checkAdapter, checkFiles, type FingerprintCheck } from "./put_adapter.ts";
import { RecipeCatalog, type StreamCounters } from "./recipe_catalog.ts";
import type { Repository } from "./repository.ts";
import { AdapterSnapshots, snapshotOf } from "./snapshots.ts";
import type { AdapterStore, ModelStore } from "./stores.ts";
import { StreamLoad } from "./stream_load.ts";
import type { StreamThreads } from "./stream_threads.ts";

export type { AdapterSummary, BrokenAdapter, OpenedAdapter, Visible } from "./adapter_catalog.ts";
export type { ApplyLease, ApplyUse } from "./apply_catalog.ts";
export type { CatalogState } from "./base_catalog.ts";
export type { BaseRepository } from "./base_repository.ts";
export type { RepositoryLimits } from "./limits.ts";
export { LinearDevices, type LinearDevicesOptions } from "./linear_devices.ts";
export type { FingerprintCheck } from "./put_adapter.ts";
export type { StreamCounters } from "./recipe_catalog.ts";
export type { StreamThreads } from "./stream_threads.ts";

/** What {@link Repositories} are made of. */
export interface RepositoriesOptions {
  readonly models: ModelStore;
  readonly adapters: AdapterStore;
  /** Opens what the models' folders locate. */
  readonly storage: Storage;
  /** Read official checkpoints (`.pth`). @default false */
  readonly allowPth?: boolean | undefined;
  /** Compute long streams, and are closed with the repositories. @default the thread that sends computes */
  readonly threads?: StreamThreads | undefined;
  /** Compute `linear`, and are closed with the repositories. @default the CPU */
  readonly devices?: LinearDevices | undefined;
  /** Bounds. @default {@link DEFAULT_LIMITS} */
  readonly limits?: Partial<RepositoryLimits> | undefined;
}

/** What came of a {@link Repositories.put}. */
export interface PutResult {
  readonly outcome: "created" | "replaced";
  readonly summary: AdapterSummary;
  /** How much of the adapter's fingerprint of its base was compared. */
  readonly fingerprint: FingerprintCheck;
  /** What the caller should tell the user. */
  readonly warnings: readonly string[];
}

const EVERYTHING: Visible = () => true;

/** The repositories of one server. Nothing is read before it is asked for. */
export class Repositories {
  readonly #store: AdapterStore;
  readonly #storage: Storage;
  readonly #limits: RepositoryLimits;
  readonly #allowPth: boolean;
  readonly #bases: BaseCatalog;
  readonly #snapshots: AdapterSnapshots;
  readonly #adapters: AdapterCatalog;
  readonly #recipes: RecipeCatalog;
  readonly #applies: ApplyCatalog;
  readonly #devices: LinearDevices;
  /** The last change of each adapter that is being changed. */
  readonly #changes = new Map<string, Promise<unknown>>();

  constructor(
    { models, adapters, storage, allowPth = false, threads, devices, limits = {} }: RepositoriesOptions,
  ) {
    this.#store = adapters;
    this.#devices = devices ?? LinearDevices.cpu();
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#allowPth = allowPth;
    const load = new StreamLoad();
    this.#bases = new BaseCatalog(models, storage, this.#limits, load);
    this.#snapshots = new AdapterSnapshots(adapters, this.#limits);
    const openSource: OpenSource = (locator) => {
      if (BaseCatalog.isLocator(locator)) return this.#bases.openSource(locator);
      if (AdapterSnapshots.isLocator(locator)) return this.#snapshots.openSource(locator);
      return storage.openSource(locator);
    };
    this.#storage = { openSource, startDigest: storage.startDigest };
    this.#adapters = new AdapterCatalog(adapters, this.#snapshots, this.#storage, allowPth);
    this.#recipes = new RecipeCatalog(this.#adapters, this.#snapshots, this.#storage, this.#limits, {
      threads: threads ?? null,
      markedFile: (locator) => this.#bases.markedFile(locator),
      load,
    });
    this.#applies = new ApplyCatalog(this.#snapshots, this.#storage, this.#devices, this.#limits.applies);
  }

  /** How far {@link start} is. */
  get state(): CatalogState {
    return this.#bases.state;
  }

  /** What was computed so far. */
  get counters(): StreamCounters {
    return this.#recipes.counters;
  }

  /** Who computes `linear` of what {@link apply} lends, and why. */
  get linearChoice(): BackendChoice {
    return this.#devices.choice();
  }

  /** Models that there are now. */
  async countModels(): Promise<number> {
    return (await this.#bases.list()).length;
  }

  /**
   * Opens every model and computes the identities that are not known, one base after the other. Can be called again: what
   * is known stays known.
   *
   * @throws the signal's reason
   */
  start(signal?: AbortSignal): Promise<void> {
    return this.#bases.start(signal);
  }

  /** Every model, sorted by id; without a commit where its identity is not known, or it cannot be served. */
  async models(): Promise<readonly { readonly id: string; readonly commit: string | null }[]> {
    const models: { id: string; commit: string | null }[] = [];
    for (const id of await this.#bases.list()) {
      try {
        const base = await this.#bases.find(id);
        if (base !== null) models.push({ id, commit: base.commit });
      } catch (error) {
        if (!(error instanceof EtherError)) throw error;
        models.push({ id, commit: null });
      }
    }
    return models;
  }

  /** Every adapter that is visible, sorted by id; the broken ones with what is wrong with them. */
  async adapters(visible: Visible = EVERYTHING): Promise<readonly (AdapterSummary | BrokenAdapter)[]> {
    return (await this.#adapters.list(visible)).map(summaryOf);
  }

  /** One adapter with its files; null where there is none that is visible. @throws {EtherError} what is wrong with it */
  adapter(id: string, visible: Visible = EVERYTHING): Promise<OpenedAdapter | null> {
    return this.#adapters.open(id, visible);
  }

  /**
   * A base; null where there is none.
   *
   * @throws {EtherError} `busy` while its identity is being computed; what is wrong with it
   */
  base(id: string): Promise<BaseRepository | null> {
    return this.#bases.find(id);
  }

  /**
   * A revision of a base; null for an adapter or a commit that is not known. Nothing but headers and adapters is read.
   *
   * @param revision  `main`, `HEAD`, a commit of 40 hex, or a recipe
   * @throws {EtherError} `bad_recipe`; what keeps the adapters from being merged into this base: `unknown_target`,
   * `tied_head`, `base_mismatch`, …; `too_large`, `io_error`
   */
  async revision(
    base: BaseRepository,
    revision: string,
    visible: Visible = EVERYTHING,
  ): Promise<Repository | null> {
    if (isCommit(revision)) return await this.#recipes.findCommit(base, revision, visible);
    return await this.#recipes.find(base, parseRecipe(revision), visible);
  }

  /** The same for a recipe that is taken apart. */
  recipe(base: BaseRepository, recipe: Recipe, visible: Visible = EVERYTHING): Promise<Repository | null> {
    return this.#recipes.find(base, recipe, visible);
  }

  /**
   * Checks an adapter against a base as a merge would, then stores it. Changes of one adapter come one after the other.
   *
   * @throws {EtherError} `forbidden` where nothing can be written; `usage`, `too_large`; whatever is wrong with the
   * adapter, or its fit; what the store throws
   */
  put(
    id: string,
    base: BaseRepository,
    files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
    signal?: AbortSignal,
  ): Promise<PutResult> {
    return this.#change(id, () => this.#put(id, base, files, signal));
  }

  /** Removes an adapter; false where there was none. @throws {EtherError} `forbidden` where nothing can be written */
  remove(id: string): Promise<boolean> {
    return this.#change(id, async () => {
      if (this.#store.remove === undefined) throw readOnly();
      return isAdapterId(id) && await this.#store.remove(id);
    });
  }

  /**
   * Adapters over a base for activations; null where one of them is not known. Whoever gets them releases them.
   *
   * @param use  what they are for; lent for `sides`, they do `linear` on the CPU
   * @throws {EtherError} what keeps the adapters from being applied to this base
   */
  async apply(
    base: BaseRepository,
    recipe: Recipe,
    visible: Visible = EVERYTHING,
    use: ApplyUse = "linear",
  ): Promise<ApplyLease | null> {
    const parts = await this.#recipes.resolve(recipe, visible);
    return parts === null ? null : await this.#applies.borrow(base, parts, use);
  }

  /** Stops what is being computed, and closes files. */
  async close(): Promise<void> {
    this.#recipes.close();
    await this.#applies.close();
    await this.#bases.close();
  }

  async #put(
    id: string,
    base: BaseRepository,
    files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
    signal: AbortSignal | undefined,
  ): Promise<PutResult> {
    if (this.#store.put === undefined) throw readOnly();
    if (!isAdapterId(id)) {
      const hint = "letters, digits, '.', '_' and '-', at most 64; not main, HEAD, or 40 hex digits";
      throw new EtherError("usage", `${quote(id)} is no name for an adapter`, { field: "id", hint });
    }
    checkFiles(files, this.#limits, this.#allowPth);
    const snapshot = await snapshotOf({ id, stamp: "", files });
    const release = this.#snapshots.hold(snapshot);
    try {
      const checked = await checkAdapter(snapshot, base, this.#snapshots, this.#storage, this.#limits, signal);
      signal?.throwIfAborted();
      const outcome = await this.#store.put(id, { base: base.id, digest: checked.digest, files });
      const record = await this.#adapters.find(id, EVERYTHING);
      if (record === null) throw new EtherError("io_error", "it was deleted as soon as it was stored", { file: id });
      if (record.error !== null) throw record.error;
      const { fingerprint, warnings } = checked;
      return { outcome, summary: summaryOf(record) as AdapterSummary, fingerprint, warnings };
    } finally {
      release();
    }
  }

  async #change<T>(id: string, work: () => Promise<T>): Promise<T> {
    const before = this.#changes.get(id)?.catch(() => {}) ?? Promise.resolve();
    const mine = before.then(work);
    this.#changes.set(id, mine);
    try {
      return await mine;
    } finally {
      if (this.#changes.get(id) === mine) this.#changes.delete(id);
    }
  }
}

function summaryOf(record: AdapterRecord): AdapterSummary | BrokenAdapter {
  const { id, base } = record;
  if (record.error !== null) return { id, base, error: record.error };
  const { digest, peftType, parameters, byteLength } = record;
  return { id, base, digest, peftType, parameters, byteLength, error: null };
}

function readOnly(): EtherError {
  const hint = "start the server with a folder of adapters that it may write";
  return new EtherError("forbidden", "the adapters cannot be changed here", { hint });
}
