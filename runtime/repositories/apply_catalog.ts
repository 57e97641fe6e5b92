/** Adapters that are ready for activations: prepared once, used by many, closed when nobody has asked for long. */
import { prepareApply } from "../apply/prepare_apply.ts";
import type { PreparedApply } from "../apply/prepared_apply.ts";
import type { Storage } from "../plans/prepare_merge.ts";
import { strengthOf } from "../recipes/recipe.ts";
import type { BaseRepository } from "./base_repository.ts";
import { recipeKey, type ResolvedPart } from "./recipe_catalog.ts";
import type { AdapterSnapshots } from "./snapshots.ts";

/** Prepared adapters on loan. */
export interface ApplyLease {
  /** The adapters; calls that overlap run one after the other. */
  readonly value: PreparedApply;
  /** Gives them back; a second time does nothing. */
  release(): void;
}

interface Entry {
  readonly prepared: Promise<PreparedApply>;
  users: number;
  /** It is no longer in the map: whoever has it last closes it. */
  dropped: boolean;
}

/** Keeps a bounded number of prepared adapters. */
export class ApplyCatalog {
  readonly #snapshots: AdapterSnapshots;
  readonly #storage: Storage;
  readonly #maxCount: number;
  /** The least recently used first. */
  readonly #entries = new Map<string, Entry>();

  constructor(snapshots: AdapterSnapshots, storage: Storage, maxCount: number) {
    this.#snapshots = snapshots;
    this.#storage = storage;
    this.#maxCount = maxCount;
  }

  /** Lends adapters over a base. @throws {EtherError} what is wrong with their fit */
  async borrow(base: BaseRepository, parts: readonly ResolvedPart[]): Promise<ApplyLease> {
    const key = recipeKey(base, parts);
    const entry = this.#entries.get(key) ?? { prepared: this.#prepare(base, parts), users: 0, dropped: false };
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.users++;
    for (const [oldest, other] of this.#entries) {
      if (this.#entries.size <= this.#maxCount) break;
      if (other !== entry) this.#drop(oldest, other);
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
      return { value: await entry.prepared, release };
    } catch (error) {
      if (this.#entries.get(key) === entry) this.#drop(key, entry);
      release();
      throw error;
    }
  }

  /** Closes what is not in use, and the rest when it comes back. */
  close(): void {
    for (const [key, entry] of this.#entries) this.#drop(key, entry);
  }

  async #prepare(base: BaseRepository, parts: readonly ResolvedPart[]): Promise<PreparedApply> {
    const adapters = [];
    for (const part of parts) {
      const snapshot = await this.#snapshots.find(part.record.id, part.record.key);
      adapters.push({ place: this.#snapshots.place(snapshot), strength: strengthOf(part) });
    }
    return await prepareApply({ base: base.model, adapters }, this.#storage);
  }

  #giveBack(entry: Entry): void {
    entry.users--;
    if (entry.dropped && entry.users === 0) closeEntry(entry);
  }

  #drop(key: string, entry: Entry): void {
    this.#entries.delete(key);
    entry.dropped = true;
    if (entry.users === 0) closeEntry(entry);
  }
}

function closeEntry({ prepared }: Entry): void {
  // What could not be prepared holds nothing.
  prepared.then((value) => value.close()).catch(() => {});
}
