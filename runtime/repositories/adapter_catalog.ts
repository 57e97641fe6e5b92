/** What is known of a store's adapters: each is read once for each of its stamps. */
import { type Adapter, openAdapter } from "../adapters/adapter.ts";
import { EtherError } from "../error.ts";
import type { OpenSource } from "../io/folder.ts";
import type { AdapterDescription } from "../methods/method.ts";
import { methodOf } from "../methods/registry.ts";
import type { Storage } from "../plans/prepare_merge.ts";
import { digestPrefixOf } from "../recipes/commit.ts";
import { isAdapterId } from "../recipes/recipe.ts";
import type { AdapterSnapshot, AdapterSnapshots } from "./snapshots.ts";
import type { AdapterListing, AdapterStore } from "./stores.ts";
import { isPassing } from "./passing_error.ts";

/** What the caller may read; anything else counts as absent. */
export type Visible = (adapterId: string) => boolean;

/** An adapter that is whole. */
export interface AdapterSummary {
  /** Its id. */
  readonly id: string;
  /** The repository that it was validated against, where that was recorded. */
  readonly base: string | null;
  /** See {@link Adapter.digest}. */
  readonly digest: string;
  /** `peft_type`. */
  readonly peftType: string;
  /** Values of all of its tensors. */
  readonly parameters: number;
  /** Of all of its files. */
  readonly byteLength: number;
  /** Nothing is wrong with it. */
  readonly error: null;
}

/** An adapter that cannot be used, and why. */
export interface BrokenAdapter {
  /** Its id. */
  readonly id: string;
  /** See {@link AdapterSummary.base}. */
  readonly base: string | null;
  /** What is wrong with it. */
  readonly error: EtherError;
}

/** An adapter with its files. */
export interface OpenedAdapter {
  readonly summary: AdapterSummary;
  /** What its method says of it. */
  readonly description: AdapterDescription;
  /** By path, all of one moment. */
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  /** Its config and header. */
  readonly adapter: Adapter;
  /** Opens the adapter's files. */
  readonly openSource: OpenSource;
}

/** What is remembered of an adapter that is whole; its bytes are not. */
export interface WholeRecord extends AdapterSummary {
  readonly stamp: string;
  /** Its files, see {@link AdapterSnapshot}. */
  readonly key: string;
}

/** What is remembered of an adapter. */
export type AdapterRecord = WholeRecord | (BrokenAdapter & { readonly stamp: string });

/** Looks adapters up. */
export class AdapterCatalog {
  readonly #store: AdapterStore;
  readonly #snapshots: AdapterSnapshots;
  readonly #storage: Storage;
  readonly #allowPth: boolean;
  readonly #records = new Map<string, AdapterRecord>();
  /** Readings under way, by id and stamp. */
  readonly #reading = new Map<string, Promise<AdapterRecord | null>>();

  /** @param storage  opens the snapshots' files */
  constructor(store: AdapterStore, snapshots: AdapterSnapshots, storage: Storage, allowPth: boolean) {
    this.#store = store;
    this.#snapshots = snapshots;
    this.#storage = storage;
    this.#allowPth = allowPth;
  }

  /** Every adapter that is visible, sorted by id. */
  async list(visible: Visible): Promise<readonly AdapterRecord[]> {
    const listings = await this.#listings();
    const records: AdapterRecord[] = [];
    for (const listing of listings) {
      if (!visible(listing.id)) continue;
      const record = await this.#record(listing);
      if (record !== null) records.push(record);
    }
    return records;
  }

  /** One adapter; null where there is none that is visible. */
  async find(id: string, visible: Visible): Promise<AdapterRecord | null> {
    if (!isAdapterId(id) || !visible(id)) return null;
    const listing = (await this.#listings()).find((one) => one.id === id);
    return listing === undefined ? null : await this.#record(listing);
  }

  /** The adapters whose digests begin so. */
  async withPrefix(digestPrefix: string, visible: Visible): Promise<readonly WholeRecord[]> {
    const whole = (await this.list(visible)).filter((record) => record.error === null);
    return whole.filter(({ digest }) => digestPrefixOf(digest) === digestPrefix);
  }

  /** An adapter with its files. @throws {EtherError} what is wrong with it; `io_error` where it is replaced meanwhile */
  async open(id: string, visible: Visible): Promise<OpenedAdapter | null> {
    const record = await this.find(id, visible);
    if (record === null) return null;
    if (record.error !== null) throw record.error;
    const snapshot = await this.#snapshots.find(id, record.key);
    const adapter = await this.#open(snapshot);
    const description = await methodOf(adapter).describe(adapter);
    const { key: _key, stamp: _stamp, ...summary } = record;
    // The bytes are this caller's for as long as it wants: nothing has to be kept for it.
    const openSource: OpenSource = (locator) => this.#snapshots.openIn(snapshot, locator);
    return { summary, description, files: snapshot.files, adapter, openSource };
  }

  /** The snapshot that a record is of. @throws {EtherError} `io_error` */
  async snapshot({ id, key }: { readonly id: string; readonly key: string }): Promise<AdapterSnapshot> {
    return await this.#snapshots.find(id, key);
  }

  async #listings(): Promise<readonly AdapterListing[]> {
    const listings = await this.#store.list();
    if (this.#records.size > listings.length) {
      const ids = new Set(listings.map(({ id }) => id));
      for (const id of this.#records.keys()) if (!ids.has(id)) this.#records.delete(id);
    }
    return listings;
  }

  async #record(listing: AdapterListing): Promise<AdapterRecord | null> {
    const { id, stamp, base } = listing;
    const known = this.#records.get(id);
    if (known?.stamp === stamp) return known.base === base ? known : { ...known, base };
    const name = `${id}\n${stamp}`;
    const reading = this.#reading.get(name) ?? this.#read(listing).finally(() => this.#reading.delete(name));
    this.#reading.set(name, reading);
    return await reading;
  }

  async #read({ id, stamp, base }: AdapterListing): Promise<AdapterRecord | null> {
    let record: AdapterRecord;
    try {
      const snapshot = await this.#snapshots.read(id);
      if (snapshot === null) return null;
      const adapter = await this.#open(snapshot);
      const description = await methodOf(adapter).describe(adapter);
      record = {
        ...{ id, base, stamp: snapshot.stamp, key: snapshot.key, digest: adapter.digest, peftType: adapter.peftType },
        ...{ parameters: description.parameterCount, byteLength: snapshot.byteLength, error: null },
      };
    } catch (error) {
      if (!(error instanceof EtherError)) throw error;
      record = { id, base, stamp, error };
      if (isPassing(error)) return record;
    }
    this.#records.set(id, record);
    return record;
  }

  async #open(snapshot: AdapterSnapshot): Promise<Adapter> {
    const { openSource, startDigest } = this.#storage;
    const allowPth = this.#allowPth;
    return await openAdapter(this.#snapshots.place(snapshot), openSource, startDigest, { allowPth });
  }
}
