/** Adapters of one folder of this machine: the operator's own, and those that came over the network. */
import { officialPath } from "../adapters/official/find.ts";
import { EtherError } from "../error.ts";
import { baseNameOf } from "../io/folder.ts";
import { isAdapterId } from "../recipes/recipe.ts";
import type { AdapterListing, AdapterStore, NewAdapter, StoredAdapter } from "../repositories/stores.ts";
import { AdapterObjects, type Pointer } from "./adapter_objects.ts";
import { openPlace } from "./file_folder.ts";
import { lookAt } from "./file_mark.ts";
import { ioError } from "./io_error.ts";
import { ENTRIES_PER_TURN, Look, turn } from "./look.ts";
import { mayWrite } from "./permissions.ts";
import { marksOf, readSnapshot } from "./snapshot.ts";

/** How adapters are looked for. */
export interface AdapterFolderOptions {
  /** Also official checkpoints (`.pth`). @default false */
  readonly allowPth?: boolean | undefined;
  /** Bytes of all files of one adapter. @default 64 MiB */
  readonly maxAdapterBytes?: number | undefined;
  /** Adapters that are listed and stored. @default 10,000 */
  readonly maxAdapters?: number | undefined;
  /** Told once of each thing that is left out. */
  readonly onNotice?: ((message: string) => void) | undefined;
  /** Milliseconds for which a look at the disk is relied on, at least. @default one second */
  readonly rescanMilliseconds?: number | undefined;
}

/** An adapter that was found. */
type Found =
  | { readonly listing: AdapterListing; readonly path: string; readonly names: readonly string[] }
  | { readonly listing: AdapterListing; readonly pointer: Pointer };

const CONFIG = "adapter_config.json";
const TENSORS = "adapter_model.safetensors";
const LIT_CONFIG = "lit_config.json";
/** The only folder that is ever written. */
const STORE = ".store";
/** How often an adapter that is replaced again and again is looked up. */
const ATTEMPTS = 10;

/**
 * `DIR/<id>/` with an adapter's files is the operator's, and only read. What is put goes below `DIR/.store`, which is
 * written only where the process may, and there only by `put` and `remove`.
 */
export class AdapterFolder implements AdapterStore {
  /** @throws {EtherError} `exists` where the id is the operator's, `too_large`, `no_space`, `io_error` */
  readonly put?: (id: string, adapter: NewAdapter) => Promise<"created" | "replaced">;
  /** @throws {EtherError} `forbidden` where the id is the operator's; `io_error` */
  readonly remove?: (id: string) => Promise<boolean>;
  readonly #root: string;
  readonly #objects: AdapterObjects;
  readonly #allowPth: boolean;
  readonly #maxBytes: number;
  readonly #maxAdapters: number;
  readonly #onNotice: (message: string) => void;
  readonly #said = new Set<string>();
  readonly #adapters: Look<ReadonlyMap<string, Found>>;

  /** @param path  absolute; looked at when it is first asked for */
  constructor(path: string, options: AdapterFolderOptions = {}) {
    this.#root = path.replace(/(?<=.)\/$/, "");
    this.#objects = new AdapterObjects(`${this.#root}/${STORE}`);
    this.#allowPth = options.allowPth ?? false;
    this.#maxBytes = options.maxAdapterBytes ?? 64 << 20;
    this.#maxAdapters = options.maxAdapters ?? 10_000;
    this.#adapters = new Look(() => this.#look(), options.rescanMilliseconds ?? 1000);
    this.#onNotice = options.onNotice ?? (() => {});
    if (!mayWrite(`${this.#root}/${STORE}`)) return;
    this.put = (id, adapter) => this.#put(id, adapter);
    this.remove = (id) => this.#remove(id);
  }

  /** Removes what a process left in the store that died while it wrote; nothing where nothing may be written. */
  async sweep(): Promise<void> {
    if (this.put !== undefined) await this.#objects.sweep();
  }

  async list(): Promise<readonly AdapterListing[]> {
    return [...(await this.#adapters.get()).values()].map(({ listing }) => listing);
  }

  async read(id: string): Promise<StoredAdapter | null> {
    const found = (await this.#adapters.get()).get(id);
    if (found === undefined) return null;
    return "path" in found ? await this.#readPlain(id, found.path, found.names) : await this.#readStored(id);
  }

  async #readPlain(id: string, path: string, names: readonly string[]): Promise<StoredAdapter> {
    const { folder } = await openPlace(path, id);
    const listed = new Set((await folder.list()).map((entry) => entry.path));
    const paths = new Map<string, string>();
    for (const name of names) {
      if (listed.has(name)) paths.set(name, folder.locate(name));
      else if (name !== LIT_CONFIG) {
        throw new EtherError("not_found", "the file is gone, or a link that leaves the folder", {
          file: `${id}/${name}`,
        });
      }
    }
    if (names.includes(LIT_CONFIG) && !paths.has(LIT_CONFIG)) this.#addAbove(paths);
    const { files, mark } = await readSnapshot(paths, this.#maxBytes, id);
    return { id, stamp: `${path}\n${mark}`, base: null, files, ownName: folder.ownName };
  }

  /** `lit_config.json` as training leaves it: one folder up, beside the folders of its runs. */
  #addAbove(paths: Map<string, string>): void {
    const above = `${this.#root}/${LIT_CONFIG}`;
    if (lookAt(above)?.isFile) paths.set(LIT_CONFIG, above);
    else paths.delete(LIT_CONFIG);
  }

  async #readStored(id: string): Promise<StoredAdapter | null> {
    for (let attempt = 1;; attempt++) {
      const pointer = await this.#objects.pointer(id);
      if (pointer === null) return null;
      try {
        const { files } = await readSnapshot(await this.#objects.files(pointer), this.#maxBytes, id);
        if (files.size > 0) return { ...storedListing(id, pointer), files };
        throw new EtherError("not_found", "the stored files are gone", { file: id });
      } catch (error) {
        // Replaced between the two looks: then the id means another object by now.
        const missing = error instanceof EtherError && error.code === "not_found";
        if (!missing || attempt === ATTEMPTS) throw error;
        await new Promise((resolve) => setTimeout(resolve, attempt));
      }
    }
  }

  async #put(id: string, adapter: NewAdapter): Promise<"created" | "replaced"> {
    if (!isAdapterId(id)) throw new EtherError("usage", `${JSON.stringify(id)} is no adapter's id`);
    const hint = "choose another id";
    if (lookAt(`${this.#root}/${id}`) !== null) {
      throw new EtherError("exists", "the id is a folder of the operator's", { file: id, hint });
    }
    this.#adapters.forget();
    const known = await this.#adapters.get();
    if (known.size >= this.#maxAdapters && !known.has(id)) {
      throw new EtherError("too_large", `there are ${known.size} adapters already`, { hint: "delete some" });
    }
    const outcome = await this.#objects.put(id, adapter);
    this.#adapters.forget();
    return outcome;
  }

  async #remove(id: string): Promise<boolean> {
    if (!isAdapterId(id)) return false;
    this.#adapters.forget();
    const found = (await this.#adapters.get()).get(id);
    if (found !== undefined && "path" in found) {
      throw new EtherError("forbidden", "the adapter is the operator's own folder", { file: id });
    }
    const removed = await this.#objects.remove(id);
    this.#adapters.forget();
    return removed;
  }

  async #look(): Promise<ReadonlyMap<string, Found>> {
    const found = new Map<string, Found>();
    let names: string[];
    try {
      names = (await Array.fromAsync(Deno.readDir(this.#root))).map(({ name }) => name);
    } catch (error) {
      throw ioError(error, this.#root);
    }
    for (const [index, name] of names.filter((name) => !name.startsWith(".")).entries()) {
      if (index % ENTRIES_PER_TURN === ENTRIES_PER_TURN - 1) await turn();
      const path = `${this.#root}/${name}`;
      if (!lookAt(path)?.isFolder) {
        if (name !== LIT_CONFIG) this.#leaveOut(path, "it is no folder");
        continue;
      }
      const files = this.#filesOf(path);
      if (!isAdapterId(name)) this.#leaveOut(path, "its name is no adapter's id");
      else if (typeof files === "string") this.#leaveOut(path, files);
      else {
        const paths = new Map(files.map((file) => [file, `${path}/${file}`]));
        if (paths.has(LIT_CONFIG) && lookAt(`${path}/${LIT_CONFIG}`) === null) this.#addAbove(paths);
        const stamp = `${path}\n${marksOf(paths)}`;
        found.set(name, { listing: { id: name, stamp, base: null }, path, names: files });
      }
    }
    for (const [id, pointer] of await this.#objects.list((message) => this.#say(message))) {
      if (!isAdapterId(id)) this.#say(`left out: ${STORE}/ids/${id}.json: its name is no adapter's id`);
      else if (found.has(id)) this.#leaveOut(`${STORE}/ids/${id}.json`, `${id} is a folder too, which counts`);
      else found.set(id, { listing: storedListing(id, pointer), pointer });
    }
    const sorted = [...found].sort(([a], [b]) => a < b ? -1 : 1);
    if (sorted.length > this.#maxAdapters) {
      this.#say(`left out: ${sorted.length - this.#maxAdapters} adapters beyond the first ${this.#maxAdapters}`);
    }
    return new Map(sorted.slice(0, this.#maxAdapters));
  }

  /** Names of an adapter's files; a string says why there are none. */
  #filesOf(path: string): readonly string[] | string {
    const has = (name: string) => lookAt(`${path}/${name}`)?.isFile === true;
    if (has(CONFIG) && has(TENSORS)) return [CONFIG, TENSORS];
    if (has(CONFIG)) return `it has no ${TENSORS}`;
    let names: string[];
    try {
      names = Array.from(Deno.readDirSync(path), ({ name }) => name);
    } catch (error) {
      return ioError(error, path).message;
    }
    const official = officialPath({ file: null }, names.map((name) => ({ path: name, size: 0 })));
    if (official === null) return `it has no ${CONFIG}`;
    return this.#allowPth ? [baseNameOf(official), LIT_CONFIG] : `${official} is not read unless that is switched on`;
  }

  #leaveOut(path: string, reason: string): void {
    this.#say(`left out: ${path}: ${reason}`);
  }

  #say(message: string): void {
    if (this.#said.has(message) || this.#said.size > this.#maxAdapters) return;
    this.#said.add(message);
    this.#onNotice(message);
  }
}

/** An object never changes: which one it is says everything. */
function storedListing(id: string, { digest, base }: Pointer): AdapterListing {
  return { id, stamp: `${STORE}\n${digest}\n${base}`, base };
}
