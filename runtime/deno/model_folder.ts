/** Models of one folder of this machine, and models elsewhere that files in it refer to. */
import type { Place } from "../checkpoints/model.ts";
import { EtherError } from "../error.ts";
import { sha256Hex } from "../io/digest.ts";
import type { ModelStore, StoredModel } from "../repositories/stores.ts";
import { openPlace } from "./file_folder.ts";
import { type FileMark, isWrittenAfter, lookAt } from "./file_mark.ts";
import { type FoundModel, ModelScan } from "./model_scan.ts";
import { Look } from "./look.ts";
import type { FollowReference } from "./model_reference.ts";
import { mayWrite } from "./permissions.ts";
import { RemoteModels } from "./remote_models.ts";
import { writeSidecar } from "./sidecar.ts";

/** How models are looked for. */
export interface ModelFolderOptions {
  /** Follows references. @default none is followed: each is a model that fails */
  readonly followReference?: FollowReference | undefined;
  /** Told once of each thing that is left out. */
  readonly onNotice?: ((message: string) => void) | undefined;
  /** Milliseconds for which a look at the disk is relied on, at least. @default one second */
  readonly rescanMilliseconds?: number | undefined;
  /** Milliseconds for which a movable revision elsewhere is relied on. @default one minute */
  readonly refreshMilliseconds?: number | undefined;
  /** Write digests that took time to compute beside the models, where that is allowed. @default true */
  readonly keepDigests?: boolean | undefined;
}

/**
 * `DIR/<name>`, `DIR/<owner>/<name>`, the Hub cache's `DIR/models--<owner>--<name>`, and references
 * `DIR/<name>.json`, `DIR/<owner>/<name>.json`. Where `DIR` itself is a model, it is the only one.
 */
export class ModelFolder implements ModelStore {
  readonly #remote: RemoteModels;
  readonly #rescan: number;
  readonly #keepDigests: boolean;
  readonly #models: Look<ReadonlyMap<string, FoundModel>>;
  readonly #local = new Map<string, { readonly path: string; readonly model: Look<StoredModel> }>();

  /** @param path  absolute; looked at when it is first asked for */
  constructor(path: string, options: ModelFolderOptions = {}) {
    const { followReference = refuseRemote, onNotice = () => {}, refreshMilliseconds = 60_000 } = options;
    this.#remote = new RemoteModels(followReference, refreshMilliseconds, (id, error) => {
      onNotice(`${id}: ${error instanceof EtherError ? error.toLine() : error}`);
    });
    this.#rescan = options.rescanMilliseconds ?? 1000;
    this.#keepDigests = options.keepDigests ?? true;
    const scan = new ModelScan(path.replace(/(?<=.)\/$/, ""), onNotice);
    this.#models = new Look(async () => {
      const models = await scan.run();
      for (const id of this.#local.keys()) if (!models.has(id)) this.#local.delete(id);
      this.#remote.keepOnly(models);
      return models;
    }, this.#rescan);
  }

  async list(): Promise<readonly string[]> {
    return [...(await this.#models.get()).keys()];
  }

  async find(id: string): Promise<StoredModel | null> {
    const found = (await this.#models.get()).get(id);
    if (found === undefined) return null;
    if (found.kind === "reference") return await this.#referred(id, found);
    let local = this.#local.get(id);
    if (local?.path !== found.path) {
      local = {
        path: found.path,
        model: new Look(() => storedFolder(id, found.path, this.#keepDigests), this.#rescan),
      };
      this.#local.set(id, local);
    }
    return await local.model.get();
  }

  async #referred(id: string, { source, mark }: FoundModel & { kind: "reference" }): Promise<StoredModel> {
    const { place, revision, identify } = await this.#remote.get(id, source, mark);
    return {
      ...{ id, place, stamp: `${mark}-${revision}`, local: false, lastModified: null },
      ...(identify === undefined ? {} : { identify }),
    };
  }
}

function refuseRemote(source: string): Promise<never> {
  const hint = "name its host in ETHER_ALLOW_HOSTS or --allow-hosts";
  return Promise.reject(new EtherError("unsupported", `${source} is elsewhere, and no host is allowed`, { hint }));
}

/** A folder of this machine as a model, by what its files are now. */
async function storedFolder(id: string, path: string, keepDigests: boolean): Promise<StoredModel> {
  const place: Place = await openPlace(path, id);
  const { folder } = place;
  const lines = [folder.locate("")];
  const marks = new Map<string, FileMark>();
  const byLocator = new Map<string, FileMark>();
  let lastModified = 0;
  for (const { path } of await folder.list()) {
    // A sidecar says of a file what is true without it: one that is written while the model is served changes nothing.
    if (/\.sha256(\.ether-partial)?$/.test(path)) continue;
    const seen = lookAt(folder.locate(path));
    if (seen === null) continue;
    marks.set(path, seen);
    byLocator.set(folder.locate(path), seen);
    lines.push(`${path}\t${seen.mark}`);
    lastModified = Math.max(lastModified, seen.changed);
  }
  return {
    ...{ id, place, stamp: await sha256Hex(new TextEncoder().encode(lines.join("\n"))), local: true },
    lastModified: marks.size === 0 ? null : new Date(lastModified),
    markOf: (locator) => byLocator.get(locator)?.mark,
    isWrittenAfter(path, other) {
      const [file, earlier] = [marks.get(path), marks.get(other)];
      return file !== undefined && earlier !== undefined && isWrittenAfter(file, earlier);
    },
    async keepSha256(path: string, sha256: string): Promise<void> {
      if (!keepDigests) return;
      const file = folder.locate(path);
      const seen = marks.get(path);
      if (seen === undefined || !mayWrite(`${file}.sha256`)) return;
      // What is not kept is computed again the next time.
      await writeSidecar(file, sha256, seen.mark).catch(() => {});
    },
  };
}
