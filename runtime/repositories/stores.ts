/** Where a server's models and adapters are kept; folders of a machine are one way, a bucket or a constant would be others. */
import type { Place } from "../checkpoints/model.ts";

/** Models by repository id (`name` or `org/name`). */
export interface ModelStore {
  /** Every id, sorted. */
  list(): Promise<readonly string[]>;
  /** Null for an id that is not in {@link list}; never joins an id to a path. */
  find(id: string): Promise<StoredModel | null>;
}

/** A model as it is kept. */
export interface StoredModel {
  /** The repository's id. */
  readonly id: string;
  /** Where it is. */
  readonly place: Place;
  /** Another string as soon as any file of it may be another. */
  readonly stamp: string;
  /** Its weights can be read at the cost of a disk: identities may be computed, fingerprints of tensors checked. */
  readonly local: boolean;
  /** When its youngest file was written, where that is known. */
  readonly lastModified: Date | null;
  /**
   * An identity that an origin vouches for, of a file whose SHA-256 is not known: SHA-256 in hex of (URL, size, strong
   * ETag). Undefined where the SHA-256 must be computed.
   */
  identify?(path: string): Promise<string>;
  /**
   * The {@link ByteSource.mark} of a file as it was when {@link stamp} was made, by what its folder locates it as;
   * undefined for a file that was not there. Absent where the storage has no marks.
   */
  markOf?(locator: string): string | undefined;
  /**
   * True where a file was certainly written after another came to be what it is: what it says of the other is not of an
   * earlier one. By their paths; absent where the storage has no times.
   */
  isWrittenAfter?(path: string, other: string): boolean;
  /** Keeps a SHA-256 that took time to compute, where it can; never fails. */
  keepSha256?(path: string, sha256: string): Promise<void>;
}

/** Adapters by id (`[A-Za-z0-9][A-Za-z0-9._-]{0,63}`). */
export interface AdapterStore {
  /** Every adapter, sorted by id. */
  list(): Promise<readonly AdapterListing[]>;
  /** A snapshot of its files; null for an id that is not in {@link list}. @throws {EtherError} `too_large` */
  read(id: string): Promise<StoredAdapter | null>;
  /** Absent where nothing can be written. Atomic: visible as a whole or not at all. */
  put?(id: string, adapter: NewAdapter): Promise<"created" | "replaced">;
  /** Absent where nothing can be written. False: there was none. */
  remove?(id: string): Promise<boolean>;
}

/** What a list says of an adapter. */
export interface AdapterListing {
  /** Its id. */
  readonly id: string;
  /** Another string as soon as any file of it may be another. */
  readonly stamp: string;
  /** The repository that it was validated against, where that was recorded. */
  readonly base: string | null;
}

/** An adapter's files, all of one moment. */
export interface StoredAdapter extends AdapterListing {
  /** By path: `adapter_config.json`, `adapter_model.safetensors`; of an official checkpoint its `.pth` and config. */
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  /** The folder's own name, in which training writes its settings. */
  readonly ownName?: string | undefined;
}

/** An adapter that has been validated. */
export interface NewAdapter {
  /** The repository that it was validated against. */
  readonly base: string;
  /** Digest of the adapter, hex: what it is stored under. */
  readonly digest: string;
  /** By path. */
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}
