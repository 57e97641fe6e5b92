/** A stored model opened for serving: its headers, and what each of its files is known by. */
import { type Model, openModel } from "../checkpoints/model.ts";
import { fileRole } from "../checkpoints/weight_set.ts";
import { EventTurns } from "../apply/event_turns.ts";
import { EtherError } from "../error.ts";
import { sha256Hex, toHex } from "../io/digest.ts";
import type { Folder, FolderEntry, OpenSource } from "../io/folder.ts";
import { readAll } from "../io/source.ts";
import { MANIFEST_FILE, parseManifest } from "../plans/manifest.ts";
import type { Storage } from "../plans/prepare_merge.ts";
import { type IdentifiedFile, largeFile, originFile, smallFile } from "./file_identity.ts";
import type { RepositoryLimits } from "./limits.ts";
import type { StoredModel } from "./stores.ts";
import { changed, openUnchanged } from "./unchanged_source.ts";

/** A model, open. */
export interface OpenedBase {
  readonly stored: StoredModel;
  readonly model: Model;
  /** Opens its files as this folder locates them. */
  readonly folder: Folder;
  /** What is known of its files without reading weights. */
  readonly known: readonly IdentifiedFile[];
  /** Files whose SHA-256 must be computed. */
  readonly unknown: readonly FolderEntry[];
}

/** How a model is opened. */
export interface OpenBaseOptions {
  readonly storage: Storage;
  readonly limits: RepositoryLimits;
  /** Stands before the locators of the storage in those of this model. */
  readonly prefix: string;
}

/** SHA-256 in hex by path, as far as they are computed. */
export type ComputedDigests = ReadonlyMap<string, string>;

/** A manifest that is larger than this is not read. */
const MAX_MANIFEST_BYTES = 64 << 20;

/** Files that are read at one time where each takes a journey. */
const PARALLEL_READS = 8;

/**
 * Opens a model and identifies its files, as far as no weight has to be read for it.
 *
 * @param computed  what was computed before, of these very files
 * @throws {EtherError} what is wrong with the model; `too_large`
 */
export async function openBase(
  stored: StoredModel,
  computed: ComputedDigests,
  { storage, limits, prefix }: OpenBaseOptions,
): Promise<OpenedBase> {
  const { place } = stored;
  const entries = await place.folder.list();
  const folder = new ListedFolder(place.folder, entries, prefix);
  const openListed = openStamped(stored, storage);
  const openSource: OpenSource = (locator) => openListed(locator.slice(prefix.length));
  const model = await openModel({ folder, file: place.file }, openSource);
  const weights = new Map(model.checkpoints.flatMap(({ files }) => files).map((file) => [file.path, file]));
  const indexes = new Set(model.checkpoints.flatMap(({ index }) => index === null ? [] : [index.entry.path]));
  const listed = entries.filter(({ path }) => place.file === null ? fileRole(path) !== "private" : path === place.file);
  if (listed.length > limits.files) {
    throw new EtherError("too_large", `${listed.length} files are more than ${limits.files}`, { file: stored.id });
  }
  const byManifest = await manifestDigests(stored, entries, folder, openSource);

  const identify = async (entry: FolderEntry): Promise<IdentifiedFile | null> => {
    const { path, size } = entry;
    const weight = weights.get(path);
    if (weight !== undefined && weight.size !== size) throw changed(stored.id, path);
    const isWeight = weight !== undefined || (!path.endsWith(".json") && fileRole(path) === "weights");
    if (!indexes.has(path) && (isWeight || size > limits.smallFileBytes)) {
      const sha256 = entry.sha256 ?? byManifest.get(`${path}\n${size}`) ?? computed.get(path);
      if (sha256 !== undefined) return await largeFile(path, size, sha256);
      return stored.identify === undefined ? null : await originFile(path, size, await stored.identify(path));
    }
    const source = await openSource(folder.locate(path));
    try {
      if (source.size !== size) throw changed(stored.id, path);
      return await smallFile(path, await readAll(source));
    } finally {
      source.close();
    }
  };
  const known: IdentifiedFile[] = [];
  const unknown: FolderEntry[] = [];
  const step = stored.local ? 1 : PARALLEL_READS;
  for (let start = 0; start < listed.length; start += step) {
    const some = listed.slice(start, start + step);
    for (const [i, identified] of (await Promise.all(some.map(identify))).entries()) {
      if (identified === null) unknown.push(some[i]!);
      else known.push(identified);
    }
  }
  return { stored, model, folder, known, unknown };
}

/** Identity of a repository of such files: SHA-256 in hex over lines `path\tsize\tidentity`, sorted. */
export async function identityOf(files: readonly IdentifiedFile[]): Promise<string> {
  const lines = files.map(({ file, identity }) => `${file.path}\t${file.size}\t${identity}\n`).sort();
  return await sha256Hex(new TextEncoder().encode(lines.join("")));
}

/** SHA-256 in hex of a file that is read through. @throws {EtherError} `io_error`; the signal's reason */
export async function computeSha256(
  { folder, stored }: OpenedBase,
  { path, size }: FolderEntry,
  openSource: OpenSource,
  startDigest: Storage["startDigest"],
  signal: AbortSignal | undefined,
): Promise<string> {
  const source = await openSource(folder.locate(path));
  const turns = new EventTurns();
  try {
    if (source.size !== size) throw changed(stored.id, path);
    const digest = startDigest();
    const buffer = new Uint8Array(Math.min(size, 1 << 20));
    for (let offset = 0; offset < size; offset += buffer.byteLength) {
      await turns.wait();
      const part = buffer.subarray(0, Math.min(buffer.byteLength, size - offset));
      await source.read(offset, part);
      signal?.throwIfAborted();
      digest.update(part);
    }
    return toHex(digest.finish());
  } finally {
    source.close();
  }
}

/** Opens a model's files as long as they are those that its stamp is of. */
export function openStamped(stored: StoredModel, { openSource }: Storage): OpenSource {
  if (stored.markOf === undefined) return openSource;
  return (locator) =>
    openUnchanged(() => openSource(locator), (mark) => {
      if (mark !== undefined && mark !== stored.markOf?.(locator)) throw changed(stored.id);
    });
}

/** Plain SHA-256 that a merge has written down, by path and size, of files that have not been replaced since. */
async function manifestDigests(
  stored: StoredModel,
  entries: readonly FolderEntry[],
  folder: Folder,
  openSource: OpenSource,
): Promise<ReadonlyMap<string, string>> {
  const digests = new Map<string, string>();
  const entry = entries.find(({ path }) => path === MANIFEST_FILE);
  if (entry === undefined || entry.size > MAX_MANIFEST_BYTES) return digests;
  const source = await openSource(folder.locate(MANIFEST_FILE));
  try {
    for (const { path, size, digest, sha256 } of parseManifest(await readAll(source), source.name)) {
      const plain = sha256 ?? (digest.startsWith("sha256:") ? digest.slice("sha256:".length) : undefined);
      if (plain === undefined || !/^[0-9a-f]{64}$/.test(plain)) continue;
      if (stored.isWrittenAfter?.(MANIFEST_FILE, path) ?? true) digests.set(`${path}\n${size}`, plain);
    }
  } catch (error) {
    // A manifest is a help where there is one; what it says can be computed.
    if (!(error instanceof EtherError)) throw error;
  } finally {
    source.close();
  }
  return digests;
}

/** A folder as it was listed once, whose locators say which opening of the model they are of. */
class ListedFolder implements Folder {
  readonly name: string;
  readonly ownName?: string | undefined;
  readonly #folder: Folder;
  readonly #entries: readonly FolderEntry[];
  readonly #prefix: string;

  constructor(folder: Folder, entries: readonly FolderEntry[], prefix: string) {
    this.name = folder.name;
    this.ownName = folder.ownName;
    this.#folder = folder;
    this.#entries = entries;
    this.#prefix = prefix;
  }

  list(): Promise<readonly FolderEntry[]> {
    return Promise.resolve(this.#entries);
  }

  locate(path: string): string {
    return this.#prefix + this.#folder.locate(path);
  }
}
