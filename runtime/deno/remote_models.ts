/** Models elsewhere that are open, asked for again from time to time. */
import type { OpenedReference } from "../remote/open_reference.ts";
import type { FollowReference } from "./model_reference.ts";

/** A host that does not answer is left in peace for so long. */
const FAILURE_MILLISECONDS = 5000;

/** What is known of one reference. */
interface Slot {
  readonly mark: string;
  /** What was there when somebody answered last. */
  good: OpenedReference | null;
  /** Why nobody did, where that was the last thing that happened. */
  error: unknown;
  /** Until when, by `performance.now()`, that is relied on. */
  until: number;
  pending: Promise<void> | null;
}

/** One open model for each id. */
export class RemoteModels {
  readonly #follow: FollowReference;
  readonly #refresh: number;
  readonly #onFailure: (id: string, error: unknown) => void;
  readonly #slots = new Map<string, Slot>();

  /**
   * @param refresh    milliseconds for which a movable revision is relied on
   * @param onFailure  told of each model that could not be opened, or not again
   */
  constructor(follow: FollowReference, refresh: number, onFailure: (id: string, error: unknown) => void) {
    this.#follow = follow;
    this.#refresh = refresh;
    this.#onFailure = onFailure;
  }

  /**
   * What a reference leads to. While nobody answers, what was there before; the files of it are pinned, so that it
   * cannot be mixed with what is there now.
   *
   * @param mark  of the file that holds the reference
   * @throws whatever opening it threw, where it was never open
   */
  async get(id: string, source: string, mark: string): Promise<OpenedReference> {
    let slot = this.#slots.get(id);
    if (slot?.mark !== mark) this.#slots.set(id, slot = { mark, good: null, error: null, until: 0, pending: null });
    if (performance.now() >= slot.until) {
      slot.pending ??= this.#ask(id, source, slot);
      await slot.pending;
    }
    if (slot.good === null) throw slot.error;
    return slot.good;
  }

  /** Forgets every model but these. */
  keepOnly(ids: ReadonlyMap<string, unknown>): void {
    for (const id of this.#slots.keys()) if (!ids.has(id)) this.#slots.delete(id);
  }

  async #ask(id: string, source: string, slot: Slot): Promise<void> {
    try {
      slot.good = await this.#follow(source);
      slot.until = performance.now() + (slot.good.pinned ? Infinity : this.#refresh);
    } catch (error) {
      slot.error = error;
      slot.until = performance.now() + FAILURE_MILLISECONDS;
      this.#onFailure(id, error);
    }
    slot.pending = null;
  }
}
