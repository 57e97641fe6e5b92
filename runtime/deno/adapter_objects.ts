/**
 * Adapters that came over the network. All that the server writes lies below one folder of its own:
 *
 *     objects/<digest>/<file>   content, named by its digest, never changed
 *     ids/<id>.json             {"digest", "base"}: what an id means now
 *     partial/                  what is being written, or was when the process died
 *     lock                      held by whoever writes, in any process
 *
 * An id changes its meaning by one rename, after everything that it names is on the disk.
 */
import { EtherError } from "../error.ts";
import { Fields, STRING } from "../json/fields.ts";
import { parseJson } from "../json/parse.ts";
import type { NewAdapter } from "../repositories/stores.ts";
import { lookAt, MarkedCache } from "./file_mark.ts";
import { ioError } from "./io_error.ts";

/** What an id means. */
export interface Pointer {
  /** 64 hex. */
  readonly digest: string;
  /** The repository that the adapter was validated against. */
  readonly base: string;
}

const DIGEST = /^[0-9a-f]{64}$/;
const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** A pointer larger than this is not one. */
const MAX_POINTER_BYTES = 4096;

/** Objects and pointers below one folder. */
export class AdapterObjects {
  readonly #root: string;
  readonly #pointers = new MarkedCache<Pointer>();
  /** Writes of this process, one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param root  absolute; need not exist */
  constructor(root: string) {
    this.#root = root;
  }

  /** Every id with what it means; a pointer that cannot be read is told and left out. */
  async list(onNotice: (message: string) => void): Promise<ReadonlyMap<string, Pointer>> {
    const pointers = new Map<string, Pointer>();
    for (const name of await this.#names("ids")) {
      const id = /^([^.].*)\.json$/.exec(name)?.[1];
      if (id === undefined) continue;
      try {
        const pointer = await this.pointer(id);
        if (pointer !== null) pointers.set(id, pointer);
      } catch (error) {
        onNotice(`left out: ${ioError(error, name).toLine()}`);
      }
    }
    return pointers;
  }

  /** What an id means now; null for one that means nothing. @throws {EtherError} `bad_config`, `io_error` */
  async pointer(id: string): Promise<Pointer | null> {
    const path = this.#pointerPath(id);
    const now = Date.now();
    const seen = lookAt(path);
    if (seen === null) return null;
    return await this.#pointers.get(path, seen, now, async () => {
      if (seen.size > MAX_POINTER_BYTES) throw new EtherError("bad_config", "too large for a pointer", { file: path });
      const fields = Fields.ofDocument(parseJson(await Deno.readFile(path), "bad_config", path), "bad_config", path);
      const digest = fields.required("digest", STRING);
      if (!DIGEST.test(digest)) fields.fail("digest", "not 64 hex digits");
      return { digest, base: fields.required("base", STRING) };
    });
  }

  /** Paths of an object's files by their names; empty where the object is gone. */
  async files({ digest }: Pointer): Promise<ReadonlyMap<string, string>> {
    const names = (await this.#names(`objects/${digest}`)).filter((name) => FILE_NAME.test(name)).sort();
    return new Map(names.map((name) => [name, `${this.#root}/objects/${digest}/${name}`]));
  }

  /** @throws {EtherError} `no_space`, `io_error` */
  async put(id: string, { base, digest, files }: NewAdapter): Promise<"created" | "replaced"> {
    if (!DIGEST.test(digest)) throw new RangeError(`${digest} is no digest`);
    return await this.#exclusive(async () => {
      const before = await this.pointer(id).catch(() => null);
      await this.#writeObject(digest, files);
      const json = new TextEncoder().encode(`${JSON.stringify({ digest, base })}\n`);
      const partial = this.#newPartial();
      await writeSynced(partial, json);
      await Deno.rename(partial, this.#pointerPath(id));
      syncFolder(`${this.#root}/ids`);
      if (before !== null && before.digest !== digest) await this.#removeOrphans();
      return before === null ? "created" : "replaced";
    });
  }

  /** False: the id meant nothing. @throws {EtherError} `io_error` */
  async remove(id: string): Promise<boolean> {
    if (lookAt(this.#pointerPath(id)) === null) return false;
    return await this.#exclusive(async () => {
      try {
        await Deno.remove(this.#pointerPath(id));
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return false;
        throw error;
      }
      syncFolder(`${this.#root}/ids`);
      await this.#removeOrphans();
      return true;
    });
  }

  /** Removes what a process left that died. */
  async sweep(): Promise<void> {
    if (lookAt(this.#root) === null) return;
    await this.#exclusive(() => this.#removeOrphans());
  }

  async #writeObject(digest: string, files: NewAdapter["files"]): Promise<void> {
    const object = `${this.#root}/objects/${digest}`;
    const known = await this.files({ digest, base: "" });
    const whole = known.size === files.size &&
      [...files].every(([name, bytes]) => lookAt(known.get(name) ?? "")?.size === bytes.byteLength);
    if (whole) return;
    if (lookAt(object) !== null) await Deno.remove(object, { recursive: true });
    const partial = this.#newPartial();
    await Deno.mkdir(partial);
    for (const [name, bytes] of files) {
      if (!FILE_NAME.test(name)) throw new RangeError(`${name} is no adapter's file`);
      await writeSynced(`${partial}/${name}`, bytes);
    }
    syncFolder(partial);
    await Deno.rename(partial, object);
    syncFolder(`${this.#root}/objects`);
  }

  /** What no id means any more, and what was never finished. Readers hold what they read in memory. */
  async #removeOrphans(): Promise<void> {
    const pointers = await this.list(() => {});
    const ids = (await this.#names("ids")).filter((name) => name.endsWith(".json"));
    // Of a pointer that cannot be read nobody knows which object it means.
    if (ids.length === pointers.size) {
      const used = new Set([...pointers.values()].map(({ digest }) => digest));
      for (const digest of await this.#names("objects")) {
        if (!used.has(digest)) await Deno.remove(`${this.#root}/objects/${digest}`, { recursive: true });
      }
    }
    for (const name of await this.#names("partial")) {
      await Deno.remove(`${this.#root}/partial/${name}`, { recursive: true });
    }
  }

  /** One writer at a time, over all processes; a lock dies with its process. */
  async #exclusive<T>(write: () => Promise<T>): Promise<T> {
    const run = async () => {
      let lock: Deno.FsFile | null = null;
      try {
        for (const folder of ["objects", "ids", "partial"]) {
          await Deno.mkdir(`${this.#root}/${folder}`, { recursive: true });
        }
        lock = await Deno.open(`${this.#root}/lock`, { create: true, read: true, write: true });
        await lock.lock(true);
        return await write();
      } catch (error) {
        throw ioError(error, "the adapter store");
      } finally {
        lock?.close();
      }
    };
    const done = this.#last.then(run);
    this.#last = done.catch(() => {});
    return await done;
  }

  async #names(folder: string): Promise<string[]> {
    try {
      return (await Array.fromAsync(Deno.readDir(`${this.#root}/${folder}`))).map(({ name }) => name);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  }

  #pointerPath(id: string): string {
    return `${this.#root}/ids/${id}.json`;
  }

  #newPartial(): string {
    return `${this.#root}/partial/${crypto.randomUUID()}`;
  }
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  using file = await Deno.open(path, { createNew: true, write: true });
  for (let at = 0; at < bytes.byteLength;) at += await file.write(bytes.subarray(at));
  await file.sync();
}

/** The folder's own entries reach the disk. */
function syncFolder(path: string): void {
  using folder = Deno.openSync(path, { read: true });
  folder.syncSync();
}
