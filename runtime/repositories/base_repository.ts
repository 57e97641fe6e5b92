/** A base as a repository: every file as it is. */
import type { Model } from "../checkpoints/model.ts";
import { EtherError } from "../error.ts";
import type { OpenSource } from "../io/folder.ts";
import { encodeCommit } from "../recipes/commit.ts";
import { type ComputeWork, pieceStream } from "./file_stream.ts";
import type { IdentifiedFile } from "./file_identity.ts";
import { identityOf, type OpenedBase } from "./open_base.ts";
import type { ByteRange, Repository, RepositoryFile } from "./repository.ts";
import type { StreamLoad } from "./stream_load.ts";

/** A base that is open and known. */
export class BaseRepository implements Repository {
  readonly id: string;
  readonly commit: string;
  readonly revision = "main";
  readonly files: readonly RepositoryFile[];
  readonly lastModified: Date;
  readonly warnings: readonly string[] = [];
  /** SHA-256 in hex over all files' paths, sizes and identities. */
  readonly identity: string;
  /** Its headers. */
  readonly model: Model;
  /** See {@link StoredModel.local}. */
  readonly local: boolean;
  readonly #byPath: ReadonlyMap<string, IdentifiedFile>;
  readonly #openSource: OpenSource;
  readonly #load: StreamLoad;

  private constructor(
    { stored, model }: OpenedBase,
    files: readonly IdentifiedFile[],
    identity: string,
    commit: string,
    openSource: OpenSource,
    load: StreamLoad,
  ) {
    this.#load = load;
    this.id = stored.id;
    this.commit = commit;
    this.identity = identity;
    this.model = model;
    this.local = stored.local;
    this.lastModified = stored.lastModified ?? new Date(0);
    this.#byPath = new Map(files.map((one) => [one.file.path, one]));
    this.files = files.map(({ file }) => file);
    this.#openSource = openSource;
  }

  /**
   * @param computed    SHA-256 in hex of the files that were not known
   * @param openSource  opens the model's files as its folder locates them
   * @param load        of all of the server's streams
   */
  static async of(
    opened: OpenedBase,
    computed: readonly IdentifiedFile[],
    openSource: OpenSource,
    load: StreamLoad,
  ): Promise<BaseRepository> {
    const files = [...opened.known, ...computed].sort((a, b) => a.file.path < b.file.path ? -1 : 1);
    const identity = await identityOf(files);
    const commit = await encodeCommit({ base: identity, adapters: [] });
    return new BaseRepository(opened, files, identity, commit, openSource, load);
  }

  file(path: string): RepositoryFile | undefined {
    return this.#byPath.get(path)?.file;
  }

  /** What a file's bytes are known by. */
  identityOf(path: string): string | undefined {
    return this.#byPath.get(path)?.identity;
  }

  stream(file: RepositoryFile, range: ByteRange, signal?: AbortSignal): ReadableStream<Uint8Array<ArrayBuffer>> {
    if (this.file(file.path) !== file) throw new TypeError(`${file.path} is no file of this repository`);
    return pieceStream(file, range, () => this.#read(file), signal);
  }

  /** Reads a file as it is, from a source of its own. */
  async #read({ path, size }: RepositoryFile): Promise<ComputeWork> {
    const source = await this.#openSource(this.model.folder.locate(path));
    if (source.size !== size) {
      source.close();
      throw new EtherError("io_error", `has ${source.size} bytes now, not ${size}`, { file: source.name });
    }
    const load = this.#load;
    const leave = load.enter();
    return {
      async piece(start, end) {
        const bytes = new Uint8Array(Math.min(load.tileByteLength, end - start));
        await source.read(start, bytes);
        return bytes;
      },
      close: () => {
        leave();
        source.close();
      },
    };
  }
}
