/** A base with a recipe of adapters as a repository: all of its files are known, and none of the merged ones exists. */
import { EtherError } from "../error.ts";
import { largestPiece, PIECE_BYTES } from "../execute/pieces.ts";
import type { Engine } from "../execute/engine.ts";
import type { SketchStore } from "../execute/sketch_store.ts";
import type { MergePlan, PlannedFile } from "../plans/plan.ts";
import { type CommitAdapter, encodeCommit } from "../recipes/commit.ts";
import { mergedEtag, oidOfEtag } from "../recipes/etag.ts";
import { formatRecipe, type Recipe } from "../recipes/recipe.ts";
import type { BaseRepository } from "./base_repository.ts";
import { smallFile } from "./file_identity.ts";
import { type ComputeWork, pieceStream } from "./file_stream.ts";
import { TILE_BYTES } from "./limits.ts";
import type { ByteRange, Repository, RepositoryFile } from "./repository.ts";
import type { MarkedFile, StreamJob } from "./stream_threads.ts";

/** What a merged repository is made of. */
export interface MergedParts {
  readonly base: BaseRepository;
  readonly recipe: Recipe;
  /** One for each part of the recipe. */
  readonly adapters: readonly CommitAdapter[];
  readonly plan: MergePlan;
}

/** What its streams work with. */
export interface MergedTools {
  readonly sketches: SketchStore;
  /** Lends an engine, see {@link EnginePool.use}. */
  readonly borrow: <T>(user: object, work: (engine: Engine) => Promise<T>, signal?: AbortSignal) => Promise<T>;
  /** Bytes of a piece, now. */
  readonly tileByteLength: () => number;
  /** The same work, done in a thread where there are some. */
  readonly threaded: (inline: ComputeWork, job: ThreadedFile) => ComputeWork;
  /** A base's file as a thread may read it; null where it cannot. */
  readonly markedFile: (locator: string) => MarkedFile | null;
  /** Keeps the adapters' files at hand until what comes back is called. @throws {EtherError} `io_error` */
  readonly hold: () => Promise<() => void>;
}

/** A planned file that a thread may compute. */
export type ThreadedFile = Pick<StreamJob, "file" | "contentName" | "files">;

/** Where a file's bytes come from. */
interface MergedFile {
  readonly file: RepositoryFile;
  readonly content:
    /** The base's file as it is. */
    | { readonly kind: "base"; readonly file: RepositoryFile }
    | { readonly kind: "bytes"; readonly bytes: Uint8Array<ArrayBuffer> }
    | { readonly kind: "merged"; readonly planned: PlannedFile };
}

/** See the top of this file. */
export class MergedRepository implements Repository {
  readonly id: string;
  readonly commit: string;
  readonly revision: string;
  readonly files: readonly RepositoryFile[];
  readonly lastModified: Date;
  readonly warnings: readonly string[];
  readonly #base: BaseRepository;
  readonly #tools: MergedTools;
  readonly #byPath: ReadonlyMap<string, MergedFile>;

  private constructor(parts: MergedParts, files: readonly MergedFile[], commit: string, tools: MergedTools) {
    const { base, recipe, plan } = parts;
    this.id = base.id;
    this.commit = commit;
    this.revision = formatRecipe(recipe);
    this.files = files.map(({ file }) => file);
    this.lastModified = base.lastModified;
    this.warnings = plan.warnings;
    this.#base = base;
    this.#tools = tools;
    this.#byPath = new Map(files.map((one) => [one.file.path, one]));
  }

  /** Names every file; computes no weight. */
  static async of(parts: MergedParts, tools: MergedTools): Promise<MergedRepository> {
    const { base, adapters, plan } = parts;
    const files: MergedFile[] = [];
    for (const planned of plan.files) files.push(await weightFile(planned, parts));
    for (const { path, content } of plan.smallFiles) {
      if ("bytes" in content) {
        const { bytes } = content;
        files.push({ file: (await smallFile(path, bytes)).file, content: { kind: "bytes", bytes } });
      } else files.push(unchanged(base, path));
    }
    files.sort((a, b) => a.file.path < b.file.path ? -1 : 1);
    const commit = await encodeCommit({ base: base.identity, adapters });
    return new MergedRepository(parts, files, commit, tools);
  }

  file(path: string): RepositoryFile | undefined {
    return this.#byPath.get(path)?.file;
  }

  stream(file: RepositoryFile, range: ByteRange, signal?: AbortSignal): ReadableStream<Uint8Array<ArrayBuffer>> {
    const found = this.#byPath.get(file.path);
    if (found?.file !== file) throw new TypeError(`${file.path} is no file of this repository`);
    const { content } = found;
    switch (content.kind) {
      case "base":
        return this.#base.stream(content.file, range, signal);
      case "bytes":
        return pieceStream(file, range, () => Promise.resolve(readMemory(content.bytes)), signal);
      case "merged":
        return pieceStream(file, range, () => this.#merge(file, content.planned), signal);
    }
  }

  /** Computes a file, each piece with an engine that is borrowed for it. */
  async #merge({ etag }: RepositoryFile, planned: PlannedFile): Promise<ComputeWork> {
    const { hold, borrow, sketches, tileByteLength, threaded, markedFile } = this.#tools;
    const release = await hold();
    const work: ComputeWork = {
      piece: (start, end, signal) => {
        const piece = { start, end, tileByteLength: tileByteLength() };
        const wish = { file: planned, contentName: etag, ...piece, sketches, signal };
        return borrow(work, (engine) => engine.piece(wish), signal);
      },
      close: release,
    };
    const files = sourcesOf(planned).map(markedFile);
    if (!files.every((file) => file !== null)) return work;
    return threaded(work, { file: planned, contentName: etag, files });
  }
}

/** Locators of the base's files that a file is made of. */
function sourcesOf({ spans }: PlannedFile): string[] {
  return [...new Set(spans.flatMap((span) => span.kind === "literal" ? [] : [span.locator]))];
}

/** A shard that no adapter touches is the base's, and a client that has it does not load it again. */
async function weightFile(planned: PlannedFile, { base, adapters }: MergedParts): Promise<MergedFile> {
  const { path, size } = planned;
  const identity = base.identityOf(path);
  if (identity === undefined) throw new TypeError(`${path} is no file of the base`);
  const copied = planned.spans.every(({ kind }) => kind === "copy");
  if (copied && base.file(path)!.size === size) return unchanged(base, path);
  const etag = await mergedEtag({ path, identity, adapters });
  const pieceByteLength = largestPiece(planned, TILE_BYTES);
  const file = { path, size, etag, oid: oidOfEtag(etag), sha256: null, pieceByteLength };
  return { file, content: { kind: "merged", planned } };
}

function unchanged(base: BaseRepository, path: string): MergedFile {
  const file = base.file(path);
  if (file === undefined) throw new EtherError("io_error", "the base has no such file any more", { file: path });
  return { file, content: { kind: "base", file } };
}

function readMemory(bytes: Uint8Array<ArrayBuffer>): ComputeWork {
  return {
    piece: (start, end) => Promise.resolve(bytes.slice(start, Math.min(end, start + PIECE_BYTES))),
    close: () => {},
  };
}
