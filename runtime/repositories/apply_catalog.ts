/** Adapters that are ready for activations: prepared once, used by many, closed when nobody has asked for long. */
import type { StartableDevices } from "../apply/apply_device.ts";
import { prepareApply } from "../apply/prepare_apply.ts";
import type { PreparedApply } from "../apply/prepared_apply.ts";
import type { OpenSource } from "../io/folder.ts";
import type { Storage } from "../plans/prepare_merge.ts";
import { strengthOf } from "../recipes/recipe.ts";
import type { BaseRepository } from "./base_repository.ts";
import type { LinearDevices } from "./linear_devices.ts";
import { recipeKey, type ResolvedPart } from "./recipe_catalog.ts";
import type { AdapterSnapshots } from "./snapshots.ts";

/** Prepared adapters on loan. */
export interface ApplyLease {
  /** The adapters; calls that overlap run one after the other. */
  readonly value: PreparedApply;
  /** Gives them back; a second time does nothing. */
  release(): void;
}

/** What prepared adapters are lent for: `sides` alone are never worth the way to a GPU and back. */
export type ApplyUse = "linear" | "sides";

/** An opening of a base with matrices on a device. Its own `openSource` is what they are known by there. */
interface Residence {
  readonly openSource: OpenSource;
  /** Entries that are not closed yet. */
  entryCount: number;
}

interface Entry {
  readonly prepared: Promise<PreparedApply>;
  readonly baseId: string;
  /** Which opening of the base. */
  readonly root: string;
  /** Null where the CPU computes. */
  readonly devices: StartableDevices | null;
  users: number;
  /** It is no longer in the map: whoever has it last closes it. */
  dropped: boolean;
}

/** Keeps a bounded number of prepared adapters. */
export class ApplyCatalog {
  readonly #snapshots: AdapterSnapshots;
  readonly #storage: Storage;
  readonly #devices: LinearDevices;
  readonly #maxCount: number;
  /** The least recently used first. */
  readonly #entries = new Map<string, Entry>();
  /** By the root of the opening. */
  readonly #residences = new Map<string, Residence>();
  /** Of entries that are in no one's hands. */
  readonly #closing = new Set<Promise<void>>();
  /** Entries that are not closed yet. */
  #openCount = 0;
  #closed = false;

  constructor(snapshots: AdapterSnapshots, storage: Storage, devices: LinearDevices, maxCount: number) {
    this.#snapshots = snapshots;
    this.#storage = storage;
    this.#devices = devices;
    this.#maxCount = maxCount;
  }

  /** Lends adapters over a base. @throws {EtherError} what is wrong with their fit */
  async borrow(base: BaseRepository, parts: readonly ResolvedPart[], use: ApplyUse): Promise<ApplyLease> {
    const devices = use === "linear" ? this.#devices.devices : null;
    const key = `${devices === null ? "" : "on a device\n"}${recipeKey(base, parts)}`;
    const entry = this.#entries.get(key) ?? this.#enter(base, parts, devices);
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.users++;
    for (const [oldest, other] of this.#entries) {
      // Nobody asks for what the base was before it changed, and its matrices take room.
      const isPast = other.baseId === entry.baseId && other.root !== entry.root;
      if (isPast || (this.#entries.size > this.#maxCount && other !== entry)) this.#drop(oldest, other);
    }
    const holds: (() => void)[] = [];
    let lent = true;
    const release = () => {
      if (!lent) return;
      lent = false;
      for (const letGo of holds) letGo();
      this.#giveBack(entry);
    };
    try {
      // Each layer's vectors are read when it is first used.
      for (const { record } of parts) {
        holds.push(this.#snapshots.hold(await this.#snapshots.find(record.id, record.key)));
      }
      const value = await entry.prepared;
      return {
        value,
        release: () => {
          release();
          if (use === "linear") this.#devices.onLinear();
        },
      };
    } catch (error) {
      if (this.#entries.get(key) === entry) this.#drop(key, entry);
      release();
      throw error;
    }
  }

  /** Closes what is not in use, and the rest when it comes back; the device after all of them. */
  async close(): Promise<void> {
    for (const [key, entry] of this.#entries) this.#drop(key, entry);
    await Promise.all(this.#closing);
    this.#closed = true;
    if (this.#openCount === 0) await this.#devices.close();
  }

  #enter(base: BaseRepository, parts: readonly ResolvedPart[], devices: StartableDevices | null): Entry {
    const root = base.model.folder.locate("");
    let { openSource } = this.#storage;
    if (devices !== null) {
      const residence = this.#residences.get(root) ?? { openSource: ownOf(openSource), entryCount: 0 };
      this.#residences.set(root, residence);
      residence.entryCount++;
      openSource = residence.openSource;
    }
    const storage = { openSource, startDigest: this.#storage.startDigest };
    const prepared = this.#prepare(base, parts, storage, devices);
    this.#openCount++;
    return { prepared, baseId: base.id, root, devices, users: 0, dropped: false };
  }

  async #prepare(
    base: BaseRepository,
    parts: readonly ResolvedPart[],
    storage: Storage,
    devices: StartableDevices | null,
  ): Promise<PreparedApply> {
    const adapters = [];
    for (const part of parts) {
      const snapshot = await this.#snapshots.find(part.record.id, part.record.key);
      adapters.push({ place: this.#snapshots.place(snapshot), strength: strengthOf(part) });
    }
    return await prepareApply({ base: base.model, adapters, backend: devices ?? "wasm" }, storage);
  }

  #giveBack(entry: Entry): void {
    entry.users--;
    if (entry.dropped && entry.users === 0) this.#startClosing(entry);
  }

  #drop(key: string, entry: Entry): void {
    this.#entries.delete(key);
    entry.dropped = true;
    if (entry.users === 0) this.#startClosing(entry);
  }

  #startClosing(entry: Entry): void {
    const closing = this.#closeEntry(entry).finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  async #closeEntry({ prepared, root, devices }: Entry): Promise<void> {
    // What could not be prepared holds nothing.
    await prepared.then((value) => value.close()).catch(() => {});
    const residence = this.#residences.get(root);
    if (devices !== null && residence !== undefined && --residence.entryCount === 0) {
      this.#residences.delete(root);
      devices.forget(residence.openSource);
    }
    if (--this.#openCount === 0 && this.#closed) await this.#devices.close();
  }
}

/** The same under an identity of its own. */
function ownOf(openSource: OpenSource): OpenSource {
  return (locator) => openSource(locator);
}
