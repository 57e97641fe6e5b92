/**
 * Adapters' files in memory, each adapter as it was at one moment. A locator names the content: what it opens is these
 * bytes or nothing, also after the adapter was replaced.
 */
import type { Place } from "../checkpoints/model.ts";
import { EtherError } from "../error.ts";
import { sha256Hex } from "../io/digest.ts";
import { type ByteSource, MemorySource } from "../io/source.ts";
import { MemoryFolder } from "./memory_folder.ts";
import type { AdapterStore, StoredAdapter } from "./stores.ts";

/** The files of an adapter at one moment. */
export interface AdapterSnapshot {
  /** The adapter's id. */
  readonly id: string;
  /** The store's, see {@link StoredAdapter}. */
  readonly stamp: string;
  /** Names the content: equal for equal files. */
  readonly key: string;
  /** By path. */
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  readonly ownName: string | undefined;
  /** Of all files. */
  readonly byteLength: number;
}

const SCHEME = "adapter:";

/** Reads adapters, and keeps a bounded amount of their bytes. */
export class AdapterSnapshots {
  readonly #store: AdapterStore;
  readonly #maxAdapterBytes: number;
  readonly #maxBytes: number;
  readonly #kept = new Map<string, AdapterSnapshot>();
  /** How many streams and calls need a snapshot that is kept. */
  readonly #holds = new Map<string, number>();
  #byteLength = 0;

  /** See {@link RepositoryLimits}. */
  constructor(store: AdapterStore, limits: { readonly maxAdapterBytes: number; readonly adapterBytes: number }) {
    this.#store = store;
    this.#maxAdapterBytes = limits.maxAdapterBytes;
    this.#maxBytes = limits.adapterBytes;
  }

  /** True for a locator of {@link place}. */
  static isLocator(locator: string): boolean {
    return locator.startsWith(SCHEME);
  }

  /** Reads an adapter as it is now; null where there is none. @throws {EtherError} `too_large`, `io_error`, … */
  async read(id: string): Promise<AdapterSnapshot | null> {
    const stored = await this.#store.read(id);
    if (stored === null) return null;
    const snapshot = await snapshotOf(stored);
    if (snapshot.byteLength > this.#maxAdapterBytes) {
      const message = `its files have ${snapshot.byteLength} bytes, the limit is ${this.#maxAdapterBytes}`;
      throw new EtherError("too_large", message, { file: id });
    }
    this.#keep(snapshot);
    return snapshot;
  }

  /** A snapshot that is kept, or the adapter once more where it still is the same. @throws {EtherError} `io_error` */
  async find(id: string, key: string): Promise<AdapterSnapshot> {
    const known = this.#kept.get(key);
    if (known !== undefined) {
      this.#kept.delete(key);
      this.#kept.set(key, known);
      return known;
    }
    const read = await this.read(id);
    if (read?.key === key) return read;
    throw new EtherError("io_error", "the adapter was replaced or deleted meanwhile", { file: id });
  }

  /** Keeps a snapshot until what is returned is called. */
  hold(snapshot: AdapterSnapshot): () => void {
    const { key } = snapshot;
    this.#keep(snapshot);
    this.#holds.set(key, (this.#holds.get(key) ?? 0) + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const left = this.#holds.get(key)! - 1;
      if (left > 0) this.#holds.set(key, left);
      else this.#holds.delete(key);
      this.#shrink();
    };
  }

  /** A snapshot as an adapter's folder; {@link openSource} opens its files. */
  place({ id, key, files, ownName }: Pick<AdapterSnapshot, "id" | "key" | "files" | "ownName">): Place {
    return { folder: new MemoryFolder(id, files, `${SCHEME}${key}:${id}/`, ownName), file: null };
  }

  /** Opens a locator of {@link place}. @throws {EtherError} `io_error`, `not_found` */
  async openSource(locator: string): Promise<ByteSource> {
    const { key, id } = partsOf(locator);
    return this.openIn(await this.find(id, key), locator);
  }

  /** The same, of a snapshot that is at hand. */
  openIn({ key, files }: AdapterSnapshot, locator: string): ByteSource {
    const { id, path, key: wanted } = partsOf(locator);
    const bytes = key === wanted ? files.get(path) : undefined;
    if (bytes === undefined) throw new EtherError("not_found", "no such file", { file: `${id}/${path}` });
    return new MemorySource(`${id}/${path}`, bytes);
  }

  #keep(snapshot: AdapterSnapshot): void {
    const { key, byteLength } = snapshot;
    const known = this.#kept.get(key);
    this.#kept.delete(key);
    this.#kept.set(key, known ?? snapshot);
    if (known === undefined) this.#byteLength += byteLength;
    this.#shrink();
  }

  /** Drops the least recently used that nobody needs; the last one used may be all there is room for. */
  #shrink(): void {
    const last = [...this.#kept.keys()].at(-1);
    for (const [key, { byteLength }] of this.#kept) {
      if (this.#byteLength <= this.#maxBytes) break;
      if (this.#holds.has(key) || key === last) continue;
      this.#kept.delete(key);
      this.#byteLength -= byteLength;
    }
  }
}

function partsOf(locator: string): { readonly key: string; readonly id: string; readonly path: string } {
  const match = /^adapter:([0-9a-f]{64}):([^/]+)\/(.*)$/s.exec(locator);
  if (match === null) throw new TypeError(`${locator} is no adapter's file`);
  return { key: match[1]!, id: match[2]!, path: match[3]! };
}

/** Names files by their content. */
export async function snapshotOf({ id, stamp, files, ownName }: Omit<StoredAdapter, "base">): Promise<AdapterSnapshot> {
  const lines: string[] = [];
  let byteLength = 0;
  for (const [path, bytes] of [...files].sort(([a], [b]) => a < b ? -1 : 1)) {
    lines.push(`${JSON.stringify(path)} ${await sha256Hex(bytes)}\n`);
    byteLength += bytes.byteLength;
  }
  lines.push(JSON.stringify(ownName ?? null));
  return { id, stamp, key: await sha256Hex(new TextEncoder().encode(lines.join(""))), files, ownName, byteLength };
}
