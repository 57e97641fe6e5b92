/** The bases of a store: opened once for each of their stamps, identified one after the other. */
import { EtherError } from "../error.ts";
import type { ByteSource } from "../io/source.ts";
import { type IdentifiedFile, largeFile } from "./file_identity.ts";
import { BaseRepository } from "./base_repository.ts";
import type { RepositoryLimits } from "./limits.ts";
import { computeSha256, openBase, type OpenedBase, openStamped } from "./open_base.ts";
import { isPassing } from "./passing_error.ts";
import { RecentMap } from "./recent_map.ts";
import type { ModelStore, StoredModel } from "./stores.ts";
import type { StreamLoad } from "./stream_load.ts";
import type { MarkedFile } from "./stream_threads.ts";
import { changed, openUnchanged } from "./unchanged_source.ts";
import type { Storage } from "../plans/prepare_merge.ts";

/** How far {@link BaseCatalog.start} is. */
export interface CatalogState {
  /** It has been through all models once. */
  readonly ready: boolean;
  /** Models that there were. */
  readonly models: number;
  /** Models of which every file's identity is known. */
  readonly identified: number;
  /** Models that cannot be served. */
  readonly failed: readonly { readonly id: string; readonly error: EtherError }[];
}

/** One opening of one stamp of a model. */
interface Opening {
  /** Names it in locators. */
  readonly number: number;
  readonly stored: StoredModel;
  readonly opened: Promise<OpenedBase>;
  /** Null until every file is identified. */
  repository: BaseRepository | null;
  /** The computing that is under way or waits for its turn. */
  computing: Promise<void> | null;
  /** Computing went wrong in a way that stays. */
  error: EtherError | null;
}

const SCHEME = "base:";
/** Openings whose files can still be opened, by streams that began before the model changed. */
const OPENINGS = 256;

/** Opens bases. */
export class BaseCatalog {
  readonly #models: ModelStore;
  readonly #storage: Storage;
  readonly #limits: RepositoryLimits;
  readonly #load: StreamLoad;
  /** By id: the one of the latest stamp. */
  readonly #latest: RecentMap<string, Opening>;
  readonly #openings = new RecentMap<number, Opening>(OPENINGS);
  /** SHA-256 in hex that took time, by id: of one stamp. They outlive an opening. */
  readonly #computed = new Map<string, { readonly stamp: string; readonly digests: Map<string, string> }>();
  readonly #closed = new AbortController();
  #openingCount = 0;
  /** One base after the other: a disk is fastest so. */
  #turn: Promise<void> = Promise.resolve();
  #state: CatalogState = { ready: false, models: 0, identified: 0, failed: [] };

  constructor(models: ModelStore, storage: Storage, limits: RepositoryLimits, load: StreamLoad) {
    this.#load = load;
    this.#models = models;
    this.#storage = storage;
    this.#limits = limits;
    this.#latest = new RecentMap(limits.bases);
  }

  /** See {@link CatalogState}. */
  get state(): CatalogState {
    return this.#state;
  }

  /** True for a locator of a base's file. */
  static isLocator(locator: string): boolean {
    return locator.startsWith(SCHEME);
  }

  /** Opens every model and computes what is not known. @throws the signal's reason */
  async start(signal?: AbortSignal): Promise<void> {
    const ids = await this.#models.list();
    const failed: { id: string; error: EtherError }[] = [];
    let identified = 0;
    const ready = this.#state.ready;
    this.#state = { ready, models: ids.length, identified, failed };
    for (const id of ids) {
      signal?.throwIfAborted();
      try {
        const opening = await this.#opening(id);
        if (opening !== null) await this.#complete(opening, signal);
        identified++;
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof EtherError)) throw error;
        failed.push({ id, error });
      }
      this.#state = { ready, models: ids.length, identified, failed: [...failed] };
    }
    this.#state = { ready: true, models: ids.length, identified, failed };
  }

  /** Every model's id, sorted. */
  list(): Promise<readonly string[]> {
    return this.#models.list();
  }

  /** One base; null where there is none. @throws {EtherError} `busy` while it is identified; what is wrong with it */
  async find(id: string): Promise<BaseRepository | null> {
    const opening = await this.#opening(id);
    if (opening === null) return null;
    const { unknown } = await opening.opened;
    if (opening.error !== null) throw opening.error;
    if (opening.repository !== null) return opening.repository;
    const completed = this.#complete(opening);
    if (unknown.length === 0) {
      await completed;
      return opening.repository;
    }
    completed.catch(() => {});
    throw new EtherError("busy", "the identity of its files is being computed", {
      file: id,
      hint: "ask again in some seconds; a <file>.sha256 beside each weight file makes it known at once",
    });
  }

  /** Opens a file of a base, as long as the base is the one that the locator is of. @throws {EtherError} `io_error` */
  async openSource(locator: string): Promise<ByteSource> {
    const colon = locator.indexOf(":", SCHEME.length);
    const opening = this.#openings.get(Number(locator.slice(SCHEME.length, colon)));
    if (opening === undefined) throw new EtherError("io_error", "the model is no longer open", { hint: "ask again" });
    const own = locator.slice(colon + 1);
    const open = () => this.#storage.openSource(own);
    return await openUnchanged(open, (mark) => this.#checkUnchanged(opening, own, mark));
  }

  /** A base's file as another thread may read it; null where that has no marks, or is not of this machine. */
  markedFile(locator: string): MarkedFile | null {
    const colon = locator.indexOf(":", SCHEME.length);
    const stored = this.#openings.get(Number(locator.slice(SCHEME.length, colon)))?.stored;
    if (stored === undefined || !stored.local) return null;
    const path = locator.slice(colon + 1);
    const mark = stored.markOf?.(path);
    return mark === undefined ? null : { locator, path, mark };
  }

  /** Stops what is being computed. */
  async close(): Promise<void> {
    this.#closed.abort(new EtherError("interrupted", "the server stops"));
    await this.#turn.catch(() => {});
    this.#latest.clear();
    this.#openings.clear();
  }

  /** @throws {EtherError} `io_error` where the files may be others than those that were identified */
  async #checkUnchanged({ stored, repository }: Opening, locator: string, mark: string | undefined): Promise<void> {
    const isMarked = mark !== undefined && stored.markOf !== undefined;
    if (isMarked && stored.markOf?.(locator) === mark) return;
    // A store may rely on a look for a while: its stamp says less than a mark that was read just now.
    if (!isMarked && (await this.#models.find(stored.id))?.stamp === stored.stamp) return;
    // Other stamps, the same bytes: a file beside them changed, or one was written again.
    const fresh = await this.find(stored.id).catch(() => null);
    if (fresh === null || repository === null || fresh.identity !== repository.identity) throw changed(stored.id);
    const latest = this.#latest.get(stored.id);
    if (isMarked && (latest?.repository !== fresh || latest.stored.markOf?.(locator) !== mark)) {
      throw changed(stored.id);
    }
  }

  async #opening(id: string): Promise<Opening | null> {
    const stored = await this.#models.find(id);
    const known = this.#latest.get(id);
    if (stored === null) {
      this.#latest.delete(id);
      this.#computed.delete(id);
      return null;
    }
    if (known?.stored.stamp === stored.stamp) return known;
    const opening = this.#open(stored);
    this.#latest.set(id, opening);
    this.#openings.set(opening.number, opening);
    opening.opened.catch((error) => {
      // What may be gone the next time is tried again.
      if (error instanceof EtherError && !isPassing(error)) return;
      if (this.#latest.get(id) === opening) this.#latest.delete(id);
    });
    return opening;
  }

  #open(stored: StoredModel): Opening {
    const number = ++this.#openingCount;
    const prefix = `${SCHEME}${number}:`;
    const before = this.#computed.get(stored.id);
    const computed = before?.stamp === stored.stamp ? before.digests : new Map<string, string>();
    const opened = openBase(stored, computed, { storage: this.#storage, limits: this.#limits, prefix });
    return { number, stored, opened, repository: null, computing: null, error: null };
  }

  /** Makes the repository; once, however many ask for it. */
  async #complete(opening: Opening, signal?: AbortSignal): Promise<void> {
    const opened = await opening.opened;
    if (opening.error !== null) throw opening.error;
    if (opening.repository !== null) return;
    if (opened.unknown.length === 0) {
      opening.repository ??= await this.#repositoryOf(opened, []);
      return;
    }
    opening.computing ??= this.#inTurn(() => this.#compute(opening, opened, signal)).finally(() => {
      opening.computing = null;
    });
    await opening.computing;
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #compute(opening: Opening, opened: OpenedBase, signal?: AbortSignal): Promise<void> {
    const { stored } = opening;
    const signals = signal === undefined ? this.#closed.signal : AbortSignal.any([signal, this.#closed.signal]);
    const digests = this.#digestsOf(stored);
    const prefixLength = `${SCHEME}${opening.number}:`.length;
    const openListed = openStamped(stored, this.#storage);
    const openSource = (locator: string) => openListed(locator.slice(prefixLength));
    const files: IdentifiedFile[] = [];
    try {
      for (const entry of opened.unknown) {
        let sha256 = digests.get(entry.path);
        if (sha256 === undefined) {
          sha256 = await computeSha256(opened, entry, openSource, this.#storage.startDigest, signals);
          if ((await this.#models.find(stored.id))?.stamp !== stored.stamp) throw changed(stored.id, entry.path);
          digests.set(entry.path, sha256);
        }
        files.push(await largeFile(entry.path, entry.size, sha256));
      }
      opening.repository = await this.#repositoryOf(opened, files);
    } catch (error) {
      signals.throwIfAborted();
      if (error instanceof EtherError && !isPassing(error)) opening.error = error;
      throw error;
    }
    for (const { file } of files) await stored.keepSha256?.(file.path, file.etag);
  }

  #repositoryOf(opened: OpenedBase, computed: readonly IdentifiedFile[]): Promise<BaseRepository> {
    return BaseRepository.of(opened, computed, (locator) => this.openSource(locator), this.#load);
  }

  /** Where the digests of a stamp are remembered. */
  #digestsOf({ id, stamp }: StoredModel): Map<string, string> {
    const known = this.#computed.get(id);
    if (known?.stamp === stamp) return known.digests;
    const digests = new Map<string, string>();
    this.#computed.set(id, { stamp, digests });
    return digests;
  }
}
