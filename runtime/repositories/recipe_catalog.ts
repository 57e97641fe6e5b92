/** Recipes that were asked for: each is checked and planned once, from headers alone, also where that fails. */
import { EtherError } from "../error.ts";
import { Engine } from "../execute/engine.ts";
import { spanByteLength } from "../execute/memory.ts";
import { SketchStore } from "../execute/sketch_store.ts";
import { loadKernel } from "../kernel/load.ts";
import type { MergePlan } from "../plans/plan.ts";
import { prepareMerge, type Storage } from "../plans/prepare_merge.ts";
import { type CommitAdapter, decodeCommit, encodeCommit } from "../recipes/commit.ts";
import { checkLength, type Recipe, strengthOf } from "../recipes/recipe.ts";
import type { AdapterCatalog, Visible, WholeRecord } from "./adapter_catalog.ts";
import type { BaseRepository } from "./base_repository.ts";
import { EnginePool } from "./engine_pool.ts";
import { KEPT_KERNEL_BYTES, type RepositoryLimits, TILE_BYTES } from "./limits.ts";
import { MergedRepository } from "./merged_repository.ts";
import { isPassing } from "./passing_error.ts";
import { RecentMap } from "./recent_map.ts";
import type { Repository } from "./repository.ts";
import type { AdapterSnapshot, AdapterSnapshots } from "./snapshots.ts";
import type { StreamLoad } from "./stream_load.ts";
import type { MarkedFile, StreamThreads } from "./stream_threads.ts";
import { ThreadedWork } from "./threaded_work.ts";

/** A part of a recipe, and the adapter that it means. */
export interface ResolvedPart {
  readonly record: WholeRecord;
  readonly tenThousandths: number;
}

/** What was done for all streams so far. */
export interface StreamCounters {
  /** Pieces of merged files that were asked of an engine. */
  readonly pieces: number;
  /** Pieces that waited for an engine. */
  readonly engineWaits: number;
  /** Sketches that were at hand. */
  readonly sketchHits: number;
  /** Sketches that were summed. */
  readonly sketchMisses: number;
}

const NO_COUNTERS = { pieces: 0, sketchHits: 0, sketchMisses: 0 };

/** What streams may have beside engines. */
export interface StreamHelp {
  /** Compute long streams; null where there are none. */
  readonly threads: StreamThreads | null;
  /** See {@link BaseCatalog.markedFile}. */
  readonly markedFile: (locator: string) => MarkedFile | null;
  /** Of all of the server's streams. */
  readonly load: StreamLoad;
}

/** Combinations of adapters that are held against one commit; more can only be made on purpose. */
const MAX_COMBINATIONS = 4096;

/** Plans recipes and streams what comes of them. */
export class RecipeCatalog {
  readonly #adapters: AdapterCatalog;
  readonly #snapshots: AdapterSnapshots;
  readonly #storage: Storage;
  readonly #limits: RepositoryLimits;
  readonly #help: StreamHelp;
  readonly #engines: EnginePool;
  readonly #sketches: SketchStore;
  readonly #planned: RecentMap<string, Promise<MergedRepository>>;
  /** Recipes of the commits that were issued here: long ones do not tell by themselves. */
  readonly #commits: RecentMap<string, Recipe>;
  #pieceCount = 0;

  constructor(
    adapters: AdapterCatalog,
    snapshots: AdapterSnapshots,
    storage: Storage,
    limits: RepositoryLimits,
    help: StreamHelp,
  ) {
    this.#help = help;
    this.#adapters = adapters;
    this.#snapshots = snapshots;
    this.#storage = storage;
    this.#limits = limits;
    this.#planned = new RecentMap(limits.repositories);
    this.#commits = new RecentMap(limits.commits);
    this.#sketches = new SketchStore(limits.sketchBytes);
    this.#engines = new EnginePool({
      ...{ maxCount: limits.engines, maxKernelBytes: KEPT_KERNEL_BYTES },
      make: () => {
        const kernel = loadKernel();
        const refuse = () => {
          throw new TypeError("a stream writes no file");
        };
        const host = { ...storage, kernel, openSink: refuse };
        return { kernel, engine: new Engine(host, { files: [], output: null, tileByteLength: TILE_BYTES }) };
      },
    });
  }

  /** A recipe over a base; null where one of its adapters is not there. @throws {EtherError} what does not fit */
  async find(base: BaseRepository, recipe: Recipe, visible: Visible): Promise<Repository | null> {
    checkLength(recipe);
    if (recipe.length === 0) return base;
    const parts = await this.resolve(recipe, visible);
    return parts === null ? null : await this.#repository(base, parts);
  }

  /**
   * A commit of a base; null for one that fits nothing that is visible.
   *
   * @throws {EtherError} `not_found` for one of a long recipe, which does not tell by itself and was not issued here; what
   * does not fit
   */
  async findCommit(base: BaseRepository, commit: string, visible: Visible): Promise<Repository | null> {
    if (commit === base.commit) return base;
    const decoded = decodeCommit(commit);
    if (decoded === null || decoded.kind === "base") return null;
    const known = await this.#remembered(base, commit, visible);
    if (known !== null) return known;
    if (decoded.kind === "table") {
      const message = "a commit of three or more adapters is known only to the node that issued it";
      throw new EtherError("not_found", message, { hint: "ask by recipe" });
    }
    const candidates: (readonly ResolvedPart[])[] = [];
    for (const { digestPrefix, tenThousandths } of decoded.parts) {
      const records = await this.#adapters.withPrefix(digestPrefix, visible);
      // Adapters of one digest are one adapter.
      const byDigest = new Map(records.map((record) => [record.digest, record] as const).reverse());
      candidates.push([...byDigest.values()].map((record) => ({ record, tenThousandths })));
    }
    let tried = 0;
    for (const parts of combinations(candidates)) {
      if (++tried > MAX_COMBINATIONS) break;
      const found = await encodeCommit({ base: base.identity, adapters: adaptersOf(parts) });
      if (found === commit) return await this.#repository(base, parts);
    }
    return null;
  }

  /** What a commit was issued for here, where its adapters are still those: nobody has to look through all of them. */
  async #remembered(base: BaseRepository, commit: string, visible: Visible): Promise<Repository | null> {
    const recipe = this.#commits.get(`${base.identity} ${commit}`);
    if (recipe === undefined) return null;
    try {
      const found = await this.find(base, recipe, visible);
      // An adapter of that name may be another one by now.
      return found?.commit === commit ? found : null;
    } catch (error) {
      // Another adapter may still fit, under another name.
      if (error instanceof EtherError && !isPassing(error)) return null;
      throw error;
    }
  }

  /** The adapters that a recipe means; null where one is not there. @throws {EtherError} what is wrong with one */
  async resolve(recipe: Recipe, visible: Visible): Promise<readonly ResolvedPart[] | null> {
    const parts: ResolvedPart[] = [];
    for (const { name, tenThousandths } of recipe) {
      const record = await this.#adapters.find(name, visible);
      if (record === null) return null;
      if (record.error !== null) throw record.error;
      parts.push({ record, tenThousandths });
    }
    return parts;
  }

  /** See {@link StreamCounters}. */
  get counters(): StreamCounters {
    const { hitCount, missCount } = this.#sketches;
    const { pieces, sketchHits, sketchMisses } = this.#help.threads?.counters ?? NO_COUNTERS;
    return {
      pieces: this.#pieceCount + pieces,
      engineWaits: this.#engines.waitCount,
      sketchHits: hitCount + sketchHits,
      sketchMisses: missCount + sketchMisses,
    };
  }

  /** Ends the streams' engines and threads. */
  close(): void {
    this.#engines.close();
    this.#help.threads?.close();
    this.#planned.clear();
  }

  async #repository(base: BaseRepository, parts: readonly ResolvedPart[]): Promise<Repository> {
    const key = recipeKey(base, parts);
    let planned = this.#planned.get(key);
    if (planned === undefined) {
      planned = this.#plan(base, parts);
      this.#planned.set(key, planned);
      planned.catch((error) => {
        if (!(error instanceof EtherError) || isPassing(error)) this.#planned.delete(key);
      });
    }
    const repository = await planned;
    this.#commits.set(`${base.identity} ${repository.commit}`, recipeOf(parts));
    return repository;
  }

  async #plan(base: BaseRepository, parts: readonly ResolvedPart[]): Promise<MergedRepository> {
    const snapshots: AdapterSnapshot[] = [];
    for (const { record } of parts) snapshots.push(await this.#adapters.snapshot(record));
    const adapters = parts.map((part, i) => {
      return { place: this.#snapshots.place(snapshots[i]!), strength: strengthOf(part) };
    });
    const { plan } = await prepareMerge({ base: base.model, adapters }, this.#storage);
    checkMemory(plan, this.#limits.engineBytes);
    const names = parts.map(({ record: { id, key } }) => ({ id, key }));
    const { threads, markedFile, load } = this.#help;
    const shared = { openSource: this.#storage.openSource, tileByteLength: () => load.tileByteLength };
    return await MergedRepository.of({ base, recipe: recipeOf(parts), adapters: adaptersOf(parts), plan }, {
      sketches: this.#sketches,
      borrow: (user, work, signal) => {
        this.#pieceCount++;
        return this.#engines.use(user, work, signal);
      },
      threaded: (inline, job) => threads === null ? inline : new ThreadedWork(inline, threads, { ...job, ...shared }),
      ...{ markedFile, tileByteLength: shared.tileByteLength },
      hold: () => this.#hold(names, base),
    });
  }

  async #hold(
    names: readonly { readonly id: string; readonly key: string }[],
    { local }: BaseRepository,
  ): Promise<() => void> {
    const { load } = this.#help;
    const holds = [load.enter()];
    const release = () => {
      holds.forEach((one) => one());
      // A base that was deleted or replaced takes room on the disk as long as it is open.
      if (local && load.count === 0) this.#engines.rest();
    };
    try {
      for (const name of names) holds.push(this.#snapshots.hold(await this.#adapters.snapshot(name)));
      return release;
    } catch (error) {
      release();
      throw error;
    }
  }
}

/** Names a recipe over a base by its content, and by the adapters' ids: messages have those. */
export function recipeKey(base: BaseRepository, parts: readonly ResolvedPart[]): string {
  const adapters = parts.map(({ record: { id, key }, tenThousandths }) => `${id} ${key} ${tenThousandths}`);
  return [base.model.folder.locate(""), base.identity, ...adapters].join("\n");
}

function recipeOf(parts: readonly ResolvedPart[]): Recipe {
  return parts.map(({ record, tenThousandths }) => ({ name: record.id, tenThousandths }));
}

function adaptersOf(parts: readonly ResolvedPart[]): CommitAdapter[] {
  return parts.map(({ record, tenThousandths }) => ({ digest: record.digest, tenThousandths }));
}

/** @throws {EtherError} `too_large` for a tensor that takes more memory than an engine may have */
export function checkMemory({ files }: Pick<MergePlan, "files">, engineBytes: number): void {
  for (const { path, spans } of files) {
    for (const span of spans) {
      if (span.kind !== "tensor") continue;
      const byteLength = spanByteLength(span, TILE_BYTES);
      if (byteLength <= engineBytes) continue;
      const message = `takes ${byteLength} bytes of memory to compute, the limit is ${engineBytes}`;
      const hint = "merge it with the command line";
      throw new EtherError("too_large", message, { file: path, tensor: span.name, hint });
    }
  }
}

/** Every choice of one of each. */
function* combinations<T>(choices: readonly (readonly T[])[]): Generator<readonly T[]> {
  const [first, ...rest] = choices;
  if (first === undefined) return yield [];
  for (const one of first) {
    for (const others of combinations(rest)) yield [one, ...others];
  }
}
