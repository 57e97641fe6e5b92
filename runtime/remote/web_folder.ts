/** A folder of a host that serves files and lists none: a few known names are looked for. */
import { parseShardIndex } from "../checkpoints/shard_index.ts";
import { EtherError } from "../error.ts";
import { sha256Hex } from "../io/digest.ts";
import type { Folder, FolderEntry } from "../io/folder.ts";
import { readAll } from "../io/source.ts";
import { readBody } from "./body.ts";
import { parseContentRange } from "./content_range.ts";
import { writeLocator } from "./locator.ts";
import { checkPin, strongEtag } from "./pin.ts";
import type { WebReference } from "./reference.ts";
import type { RemoteStorage } from "./remote_storage.ts";
import { statusError } from "./status.ts";
import { COMPANION_NAMES, SMALL_NAMES, WEIGHT_NAMES } from "./web_files.ts";

/** Names that are looked for at once. */
const CONCURRENCY = 6;
/** Shards that an index may name. */
const MAX_SHARDS = 10_000;
/** An index larger than this is not one. */
const MAX_INDEX = 64 * 1024 * 1024;

interface WebEntry extends FolderEntry {
  readonly etag: string;
}

/** Known files of a folder, each pinned to its ETag. */
export class WebFolder implements Folder {
  readonly name: string;
  readonly ownName: string;
  readonly #folder: URL;
  readonly #storage: RemoteStorage;
  readonly #entries = new Map<string, WebEntry>();
  /** The status of a file that may be there, but not for us. */
  #denied = 0;

  private constructor({ folder }: WebReference, storage: RemoteStorage) {
    this.#folder = folder;
    this.name = folder.href.replace(/\/$/, "");
    this.ownName = folder.pathname.split("/").at(-2) ?? "";
    this.#storage = storage;
  }

  /**
   * Looks for the known names, or for one file and its config.
   *
   * @throws {EtherError} `not_found`, `access_denied`, `io_error`, `host_refused`; `unsupported` for a host without
   * ranges or strong ETags
   */
  static async open(reference: WebReference, storage: RemoteStorage): Promise<WebFolder> {
    const web = new WebFolder(reference, storage);
    if (reference.file === null) {
      await web.#look([...WEIGHT_NAMES, ...SMALL_NAMES]);
      for (const stem of ["model", "diffusion_pytorch_model"]) await web.#lookForShards(stem);
    } else await web.#look([reference.file, ...COMPANION_NAMES]);
    const found = reference.file === null ? web.#entries.size > 0 : web.#entries.has(reference.file);
    if (found) return web;
    if (web.#denied !== 0) {
      throw new EtherError("access_denied", `the host answers ${web.#denied}`, { file: reference.text });
    }
    const hint = "the URL of a folder with model.safetensors, or of a .safetensors file";
    throw new EtherError("not_found", "nothing of a model or an adapter is there", { file: reference.text, hint });
  }

  list(): Promise<readonly FolderEntry[]> {
    const entries = [...this.#entries.values()].map(({ path, size }) => ({ path, size }));
    return Promise.resolve(entries.sort((a, b) => a.path < b.path ? -1 : 1));
  }

  /** The empty path is the folder itself, which cannot be opened. @throws {EtherError} `not_found` for what was not found */
  locate(path: string): string {
    if (path === "") return this.#folder.href;
    const { size, etag } = this.#entry(path);
    return writeLocator({ name: `${this.name}/${path}`, url: this.#url(path).href, size, etag });
  }

  /** SHA-256 in hex of (URL, size, strong ETag), a line each. */
  async identify(path: string): Promise<string> {
    const { size, etag } = this.#entry(path);
    return await sha256Hex(new TextEncoder().encode(`${this.#url(path).href}\n${size}\n${etag}\n`));
  }

  /** SHA-256 in hex over the identities of all files: another one as soon as any of them is another. */
  async revision(): Promise<string> {
    const lines: string[] = [];
    for (const path of [...this.#entries.keys()].sort()) lines.push(`${path} ${await this.identify(path)}\n`);
    return await sha256Hex(new TextEncoder().encode(lines.join("")));
  }

  #entry(path: string): WebEntry {
    const entry = this.#entries.get(path);
    if (entry === undefined) throw new EtherError("not_found", "no such file", { file: `${this.name}/${path}` });
    return entry;
  }

  #url(path: string): URL {
    return new URL(path.split("/").map(encodeURIComponent).join("/"), this.#folder);
  }

  async #lookForShards(stem: string): Promise<void> {
    const path = `${stem}.safetensors.index.json`;
    const entry = this.#entries.get(path);
    if (entry === undefined || this.#entries.has(`${stem}.safetensors`)) return;
    const file = `${this.name}/${path}`;
    if (entry.size > MAX_INDEX) throw new EtherError("bad_index", `${entry.size} bytes are no index`, { file });
    const source = this.#storage.openSource(this.locate(path));
    const bytes = await readAll(source).finally(() => source.close());
    const { shards } = parseShardIndex(bytes, file);
    if (shards.length > MAX_SHARDS) throw new EtherError("bad_index", `names ${shards.length} shards`, { file });
    await this.#look(shards);
  }

  async #look(names: readonly string[]): Promise<void> {
    const queue = [...names];
    const work = async () => {
      for (let name = queue.shift(); name !== undefined; name = queue.shift()) await this.#probe(name);
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, work));
  }

  /** Asks for the first byte, which tells size and ETag; some hosts answer a HEAD otherwise than a GET. */
  async #probe(path: string): Promise<void> {
    const name = `${this.name}/${path}`;
    await this.#storage.ask(this.#url(path), name, async (reply) => {
      const { status, headers } = reply.response;
      if (status === 404 || status === 410) return reply.abort(new Error("not there"));
      // A bucket that may not be listed says so of what it does not have, too.
      if (status === 401 || status === 403) {
        this.#denied = status;
        return reply.abort(new Error("not there"));
      }
      if (status === 416 && headers.get("content-range") === "bytes */0") {
        reply.abort(new Error("empty"));
        return void this.#entries.set(path, { path, size: 0, etag: '"empty"' });
      }
      const hint = "the host must answer Range requests: copy the files to this machine, or use another host";
      if (status === 200) {
        throw new EtherError("unsupported", "the host sends the whole file where a part was asked for", {
          ...{ file: name, hint },
        });
      }
      if (status !== 206) throw statusError(reply, name, this.#storage.session.hasToken);
      const range = parseContentRange(headers.get("content-range"));
      if (range === null || range.start !== 0 || range.end !== 1) {
        throw new EtherError("unsupported", "the host does not say which bytes it sends, of how many", {
          ...{ file: name, hint },
        });
      }
      const { etag } = checkPin(null, { etag: strongEtag(headers.get("etag")), linkedEtag: null }, name);
      await readBody(reply, 1, this.#storage.session.patience, name, this.#storage.signal);
      this.#entries.set(path, { path, size: range.size, etag: etag! });
    }, { range: "bytes=0-0" });
  }
}
