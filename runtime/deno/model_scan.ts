/** Which models a folder of models holds, by the names of what is in it; no model is opened. */
import { findWeightSets } from "../checkpoints/weight_set.ts";
import { EtherError } from "../error.ts";
import { baseNameOf } from "../io/folder.ts";
import { isRepositoryId, isRepositorySegment } from "../repositories/repository_id.ts";
import { openPlace } from "./file_folder.ts";
import { type FileMark, lookAt, MarkedCache } from "./file_mark.ts";
import { ioError } from "./io_error.ts";
import { ENTRIES_PER_TURN, turn } from "./look.ts";
import { MAX_REFERENCE_BYTES, parseModelReference } from "./model_reference.ts";

/** A model that a scan found. */
export type FoundModel =
  /** A folder, by its path. */
  | { readonly kind: "folder"; readonly path: string }
  /** A reference to elsewhere; `mark` changes with its file. */
  | { readonly kind: "reference"; readonly path: string; readonly source: string; readonly mark: string };

/** More entries than this in one folder are not looked at. */
const MAX_NAMES = 100_000;

/** Looks through `DIR` again and again, reading only what changed. */
export class ModelScan {
  readonly #root: string;
  readonly #onNotice: (message: string) => void;
  readonly #names = new MarkedCache<readonly string[]>();
  readonly #references = new MarkedCache<string | null>();
  #looked = new Set<string>();
  #said = new Set<string>();
  #now = 0;

  /**
   * @param root      absolute path
   * @param onNotice  told once of each thing that is left out, and why
   */
  constructor(root: string, onNotice: (message: string) => void) {
    this.#root = root;
    this.#onNotice = onNotice;
  }

  /** Every model by its id. @throws {EtherError} `not_found`, `io_error` where `DIR` itself cannot be read */
  async run(): Promise<ReadonlyMap<string, FoundModel>> {
    this.#looked = new Set();
    this.#now = Date.now();
    const models = new Map<string, FoundModel>();
    const root = lookAt(this.#root);
    if (root === null || !root.isFolder) {
      throw new EtherError("not_found", "no such folder of models", { file: this.#root });
    }
    const own = await this.#asModel(this.#root, root);
    if (own !== null) this.#add(models, cacheIdOf(own) ?? baseNameOf(this.#root), { kind: "folder", path: own });
    else await this.#folder("", models);
    this.#names.keepOnly(this.#looked);
    this.#references.keepOnly(this.#looked);
    return new Map([...models].sort(([a], [b]) => a < b ? -1 : 1));
  }

  /** Models of `DIR`, or of one owner's folder in it; false where there is none, not even one that does not count. */
  async #folder(owner: string, models: Map<string, FoundModel>): Promise<boolean> {
    const path = owner === "" ? this.#root : `${this.#root}/${owner}`;
    const found = lookAt(path);
    if (found === null) return false;
    let any = false;
    const references: [name: string, found: FileMark][] = [];
    // Sorted, so that of two with one id the same one counts on every machine; references last.
    for (const [index, name] of [...await this.#namesIn(path, found)].sort().entries()) {
      if (index % ENTRIES_PER_TURN === ENTRIES_PER_TURN - 1) await turn();
      const child = lookAt(`${path}/${name}`);
      if (child === null) this.#leaveOut(`${path}/${name}`, "it leads nowhere, or may not be read");
      else if (child.isFolder) any = await this.#child(owner, name, child, models) || any;
      else if (name.endsWith(".json")) references.push([name, child]);
    }
    for (const [name, child] of references) {
      const file = `${path}/${name}`;
      const source = await this.#reference(file, child);
      const id = join(owner, name.slice(0, -".json".length));
      if (source === null) continue;
      any = true;
      this.#add(models, id, { kind: "reference", path: file, source, mark: child.mark });
    }
    return any;
  }

  /** False where a folder holds no model. */
  async #child(owner: string, name: string, child: FileMark, models: Map<string, FoundModel>): Promise<boolean> {
    const path = `${this.#root}/${join(owner, name)}`;
    if (owner === "" && /^(datasets|spaces)--/.test(name)) return false;
    const model = await this.#asModel(path, child);
    if (model !== null) {
      const id = (owner === "" ? cacheIdOf(model) : null) ?? join(owner, name);
      this.#add(models, id, { kind: "folder", path: model });
      return true;
    }
    if (owner === "" && isRepositorySegment(name) && await this.#folder(name, models)) return true;
    this.#leaveOut(path, "it holds no safetensors model");
    return false;
  }

  /** Path of the model that a folder is, a Hub cache's by its current snapshot; null for one that is no model. */
  async #asModel(path: string, found: FileMark): Promise<string | null> {
    if (!baseNameOf(path).startsWith("models--")) return await this.#hasWeights(path, found) ? path : null;
    const snapshot = (await openPlace(path)).folder.locate("").replace(/\/$/, "");
    const seen = lookAt(snapshot);
    return seen !== null && await this.#hasWeights(snapshot, seen) ? snapshot : null;
  }

  async #hasWeights(path: string, found: FileMark): Promise<boolean> {
    const names = await this.#namesIn(path, found);
    const paths = [...names];
    // Of a diffusers repository the weights are one folder down.
    if (names.includes("model_index.json")) {
      for (const name of names) {
        const child = lookAt(`${path}/${name}`);
        if (child === null || !child.isFolder) continue;
        for (const inner of await this.#namesIn(`${path}/${name}`, child)) paths.push(`${name}/${inner}`);
      }
    }
    try {
      return findWeightSets(path, paths.map((name) => ({ path: name, size: 0 }))).length > 0;
    } catch {
      return false;
    }
  }

  async #namesIn(path: string, found: FileMark): Promise<readonly string[]> {
    this.#looked.add(path);
    return await this.#names.get(path, found, this.#now, async () => {
      const names: string[] = [];
      try {
        for await (const { name } of Deno.readDir(path)) {
          if (!name.startsWith(".")) names.push(name);
          if (names.length === MAX_NAMES) break;
        }
      } catch (error) {
        if (path === this.#root) throw ioError(error, path);
        this.#leaveOut(path, ioError(error, path).message);
      }
      return names;
    });
  }

  async #reference(file: string, found: FileMark): Promise<string | null> {
    this.#looked.add(file);
    return await this.#references.get(file, found, this.#now, async () => {
      try {
        if (!found.isFile || found.size > MAX_REFERENCE_BYTES) {
          throw new EtherError("bad_config", "not a small file", { file });
        }
        return parseModelReference(await Deno.readFile(file), file);
      } catch (error) {
        this.#say(`left out: ${ioError(error, file).toLine()}`);
        return null;
      }
    });
  }

  #add(models: Map<string, FoundModel>, id: string, model: FoundModel): void {
    if (!isRepositoryId(id)) this.#leaveOut(model.path, `Hub clients refuse the name ${JSON.stringify(id)}`);
    else if (models.has(id)) this.#leaveOut(model.path, `${models.get(id)!.path} is ${id} already`);
    else models.set(id, model);
  }

  #leaveOut(path: string, reason: string): void {
    this.#say(`left out: ${path}: ${reason}`);
  }

  #say(message: string): void {
    if (this.#said.has(message) || this.#said.size > MAX_NAMES) return;
    this.#said.add(message);
    this.#onNotice(message);
  }
}

function join(owner: string, name: string): string {
  return owner === "" ? name : `${owner}/${name}`;
}

/** `…/models--owner--name/snapshots/<commit>` → `owner/name`; null for any other path. */
function cacheIdOf(path: string): string | null {
  const name = /(?:^|\/)models--([^/]+)\/snapshots\/[^/]+$/.exec(path)?.[1];
  return name === undefined ? null : name.replace("--", "/");
}
