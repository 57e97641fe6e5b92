/** A repository of a Hub at one commit. */
import type { Place } from "../checkpoints/model.ts";
import { EtherError } from "../error.ts";
import { baseNameOf, type Folder, type FolderEntry } from "../io/folder.ts";
import { Fields, INTEGER, OBJECT, STRING } from "../json/fields.ts";
import { parseJson } from "../json/parse.ts";
import type { JsonValue } from "../json/value.ts";
import { writeLocator } from "./locator.ts";
import type { HubReference } from "./reference.ts";
import type { RemoteStorage } from "./remote_storage.ts";
import type { Reply } from "./session.ts";
import { statusError } from "./status.ts";

/** Bytes of one answer of the Hub's API: it lists at most a thousand files in one, but names every file of a revision. */
const MAX_ANSWER = 32 * 1024 * 1024;
/** A repository is no model if it holds more files than this. */
const MAX_FILES = 100_000;

/** A repository at one commit, listed. */
export class HubFolder implements Folder {
  readonly name: string;
  readonly ownName: string;
  /** 40 hex digits. */
  readonly commit: string;
  readonly #base: string;
  readonly #entries: ReadonlyMap<string, FolderEntry>;

  private constructor(reference: HubReference, endpoint: string, commit: string, entries: readonly FolderEntry[]) {
    this.name = reference.text.replace(/\/$/, "");
    this.ownName = baseNameOf(reference.repo);
    this.commit = commit;
    this.#base = `${endpoint}/${reference.repo}/resolve/${commit}/`;
    this.#entries = new Map(entries.map((entry) => [entry.path, entry]));
  }

  /**
   * Asks which commit a revision is, and which files it has.
   *
   * @throws {EtherError} `not_found`, `access_denied`, `io_error`, `host_refused`
   */
  static async open(reference: HubReference, storage: RemoteStorage): Promise<HubFolder> {
    const { endpoint } = storage.access;
    const api = `${endpoint}/api/models/${reference.repo}`;
    const revision = new URL(`${api}/revision/${encodeURIComponent(reference.revision)}`);
    const { value } = await askJson(storage, revision, reference.text);
    const commit = fieldsOf(value, reference.text).required("sha", STRING);
    if (!/^[0-9a-f]{40}$/.test(commit)) {
      throw new EtherError("io_error", `the Hub says the commit is ${JSON.stringify(commit)}`, {
        file: reference.text,
      });
    }
    const tree = new URL(`${api}/tree/${commit}?recursive=true&expand=false`);
    return new HubFolder(reference, endpoint, commit, await listTree(storage, tree, reference.text));
  }

  /** The folder as a whole. */
  get place(): Place {
    return { folder: this, file: null };
  }

  list(): Promise<readonly FolderEntry[]> {
    return Promise.resolve([...this.#entries.values()]);
  }

  /** The empty path is the folder itself, which cannot be opened. @throws {EtherError} `not_found` for what is not listed */
  locate(path: string): string {
    if (path === "") return this.#base;
    const entry = this.#entries.get(path);
    const name = `${this.name}/${path}`;
    if (entry === undefined) throw new EtherError("not_found", "no such file", { file: name });
    const url = this.#base + path.split("/").map(encodeURIComponent).join("/");
    return writeLocator({ name, url, size: entry.size, sha256: entry.sha256 });
  }
}

async function askJson(
  storage: RemoteStorage,
  url: URL,
  name: string,
): Promise<{ value: JsonValue; next: string | null }> {
  return await storage.ask(url, name, async (reply: Reply) => {
    if (reply.response.status !== 200) throw statusError(reply, name, storage.session.hasToken);
    const next = nextLink(reply.response.headers.get("link"));
    return { value: parseJson(await storage.body(reply, MAX_ANSWER, name), "io_error", name), next };
  }, { accept: "application/json" });
}

/** `<url>; rel="next"` → the URL. */
function nextLink(header: string | null): string | null {
  return /<([^<>]{1,4096})>\s*;\s*rel="?next"?/i.exec(header ?? "")?.[1] ?? null;
}

/** Every file, page by page. */
async function listTree(storage: RemoteStorage, first: URL, name: string): Promise<FolderEntry[]> {
  const entries = new Map<string, FolderEntry>();
  const asked = new Set<string>();
  for (let url: URL | null = first; url !== null;) {
    asked.add(url.href);
    const { value, next } = await askJson(storage, url, name);
    if (!Array.isArray(value)) throw new EtherError("io_error", "the Hub's list of files is no list", { file: name });
    for (const item of value) {
      const entry = readItem(fieldsOf(item, name), name);
      if (entry !== null) entries.set(entry.path, entry);
    }
    if (entries.size > MAX_FILES || asked.size > MAX_FILES) {
      throw new EtherError("unsupported_format", `holds more than ${MAX_FILES} files`, { file: name });
    }
    url = next === null ? null : URL.parse(next);
    if (next !== null && (url === null || url.origin !== first.origin || asked.has(url.href))) {
      throw new EtherError("io_error", "the Hub's list goes on at another host, or in a circle", { file: name });
    }
  }
  return [...entries.values()].sort((a, b) => a.path < b.path ? -1 : 1);
}

/** One file; null for a folder, and for names that begin with a dot. */
function readItem(fields: Fields, name: string): FolderEntry | null {
  if (fields.required("type", STRING) !== "file") return null;
  const path = fields.required("path", STRING);
  const parts = path.split("/");
  // deno-lint-ignore no-control-regex -- names that no file of a model has
  if (path.length > 1024 || /[\\\x00-\x1f\x7f]/.test(path) || parts.some((part) => part === "" || part === "..")) {
    throw new EtherError("io_error", `the Hub lists ${JSON.stringify(path)}`, { file: name });
  }
  if (parts.some((part) => part.startsWith("."))) return null;
  const lfs = fields.optional("lfs", OBJECT);
  const stored = lfs === undefined || lfs === null ? null : new Fields(lfs, "io_error", name, "lfs");
  const size = fields.required("size", INTEGER);
  if (size < 0) fields.fail("size", `${path} has ${size} bytes`);
  const oid = stored?.optional("oid", STRING) ?? "";
  return { path, size, sha256: /^[0-9a-f]{64}$/.test(oid) ? oid : undefined };
}

function fieldsOf(value: JsonValue, name: string): Fields {
  if (!(value instanceof Map)) throw new EtherError("io_error", "the Hub's answer is no object", { file: name });
  return new Fields(value, "io_error", name);
}
