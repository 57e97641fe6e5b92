/** Stores in memory, and the fixtures' model and adapters in them. */
import { startDigest } from "../../../runtime/deno/digest.ts";
import { sha256Hex } from "../../../runtime/io/digest.ts";
import type { FolderEntry } from "../../../runtime/io/folder.ts";
import type { Storage } from "../../../runtime/plans/prepare_merge.ts";
import type {
  AdapterListing,
  AdapterStore,
  ModelStore,
  NewAdapter,
  StoredAdapter,
  StoredModel,
} from "../../../runtime/repositories/stores.ts";
import { EtherError } from "../../../runtime/error.ts";

type Bytes = Uint8Array<ArrayBuffer>;
export type Files = Map<string, Bytes>;

/** Models by id, each some files by path. Their locators are `<id>\n<path>`. */
export class MemoryModels implements ModelStore {
  /** The models; a change of one counts when {@link touch} says so. */
  readonly models: Map<string, Files> = new Map();
  /** SHA-256 that the storage knows, by locator. */
  readonly sidecars: Map<string, string> = new Map();
  /** What was kept, by locator. */
  readonly kept: Map<string, string> = new Map();
  /** How often each file was opened, and how many bytes of it were read. */
  readonly reads: Map<string, { opened: number; byteLength: number }> = new Map();
  local = true;
  identify: ((path: string) => Promise<string>) | undefined;
  /** Files that are open now. */
  openCount = 0;
  /** Before each read; may throw or wait. `isWhole`: of all of the file, as when it is digested. */
  beforeRead: ((locator: string, isWhole: boolean) => void | Promise<void>) | undefined;
  #touches = new Map<string, number>();

  /** Says that a model may be another one. */
  touch(id: string): void {
    this.#touches.set(id, (this.#touches.get(id) ?? 0) + 1);
  }

  list(): Promise<readonly string[]> {
    return Promise.resolve([...this.models.keys()].sort());
  }

  find(id: string): Promise<StoredModel | null> {
    const files = this.models.get(id);
    if (files === undefined) return Promise.resolve(null);
    const { identify, local } = this;
    const entries = [...files].map(([path, bytes]): FolderEntry => {
      return { path, size: bytes.byteLength, sha256: this.sidecars.get(`${id}\n${path}`) };
    });
    const folder = {
      ...{ name: id, ownName: id, locate: (path: string) => `${id}\n${path}` },
      list: () => Promise.resolve(entries.sort((a, b) => a.path < b.path ? -1 : 1)),
    };
    return Promise.resolve({
      ...{ id, place: { folder, file: null }, stamp: `${this.#touches.get(id) ?? 0}`, local },
      lastModified: new Date(1000),
      ...identify === undefined ? {} : { identify },
      keepSha256: (path, sha256) => {
        this.kept.set(`${id}\n${path}`, sha256);
        return Promise.resolve();
      },
    });
  }

  readonly storage: Storage = {
    startDigest,
    openSource: (locator) => {
      const [id, path] = locator.split("\n") as [string, string];
      const bytes = () => {
        const found = this.models.get(id)?.get(path);
        if (found === undefined) throw new EtherError("not_found", "no such file", { file: locator });
        return found;
      };
      const count = this.reads.get(locator) ?? { opened: 0, byteLength: 0 };
      this.reads.set(locator, count);
      count.opened++;
      const size = bytes().byteLength;
      this.openCount++;
      let open = true;
      return {
        ...{ name: `${id}/${path}`, size },
        read: async (offset, into) => {
          await this.beforeRead?.(locator, offset === 0 && into.byteLength === size);
          if (!open) throw new TypeError(`${locator} was closed`);
          count.byteLength += into.byteLength;
          const part = bytes().subarray(offset, offset + into.byteLength);
          if (part.byteLength < into.byteLength) throw new EtherError("io_error", "ends early", { file: locator });
          into.set(part);
        },
        close: () => {
          if (open) this.openCount--;
          open = false;
        },
      };
    },
  };
}

/** Adapters by id. */
export class MemoryAdapters implements AdapterStore {
  readonly adapters: Map<string, { readonly files: Files; readonly base: string | null; stamp: string }> = new Map();
  /** How often each was read. */
  readonly reads: Map<string, number> = new Map();
  /** In a store's put, before it takes effect. */
  beforePut: (() => Promise<void>) | undefined;
  #stampCount = 0;

  set(id: string, files: Files, base: string | null = null): void {
    this.adapters.set(id, { files, base, stamp: `${++this.#stampCount}` });
  }

  list(): Promise<readonly AdapterListing[]> {
    const all = [...this.adapters].map(([id, { stamp, base }]) => ({ id, stamp, base }));
    return Promise.resolve(all.sort((a, b) => a.id < b.id ? -1 : 1));
  }

  read(id: string): Promise<StoredAdapter | null> {
    const found = this.adapters.get(id);
    if (found === undefined) return Promise.resolve(null);
    this.reads.set(id, (this.reads.get(id) ?? 0) + 1);
    return Promise.resolve({ id, ...found });
  }

  async put(id: string, { base, files }: NewAdapter): Promise<"created" | "replaced"> {
    await this.beforePut?.();
    const outcome = this.adapters.has(id) ? "replaced" : "created";
    this.set(id, new Map(files), base);
    return outcome;
  }

  remove(id: string): Promise<boolean> {
    return Promise.resolve(this.adapters.delete(id));
  }
}

const LLAMA = new URL("../../../fixtures/llama/", import.meta.url);

/** A folder of `fixtures/llama`, by path. */
export function llamaFiles(folder: string): Files {
  const files: Files = new Map();
  for (const { name } of Deno.readDirSync(new URL(`${folder}/`, LLAMA))) {
    files.set(name, Deno.readFileSync(new URL(`${folder}/${name}`, LLAMA)));
  }
  return files;
}

/** Stores with the fixtures' model as `llama` and two of its adapters as `poet` and `brief`. */
export function llamaStores(): { readonly models: MemoryModels; readonly adapters: MemoryAdapters } {
  const models = new MemoryModels();
  const adapters = new MemoryAdapters();
  models.models.set("llama", llamaFiles("base"));
  adapters.set("poet", llamaFiles("etherplus"), "llama");
  adapters.set("brief", llamaFiles("ether"), "llama");
  return { models, adapters };
}

/** The same bytes by two ways. */
export async function sha256(bytes: Bytes): Promise<string> {
  return await sha256Hex(bytes);
}
