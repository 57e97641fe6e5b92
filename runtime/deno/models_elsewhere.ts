/** What readers are told of models elsewhere: the repository's id, and never where it comes from. The log has the rest. */
import { EtherError } from "../error.ts";
import type { Folder } from "../io/folder.ts";
import type { ByteSource } from "../io/source.ts";
import { readLocator, writeLocator } from "../remote/locator.ts";
import type { ModelStore, StoredModel } from "../repositories/stores.ts";
import type { FollowReference } from "./model_reference.ts";

/** Errors of following references, which name hosts and URLs. */
export class ModelsElsewhere {
  readonly #failures = new WeakSet<Error>();

  /** The same, whose errors {@link hide} knows. */
  watch(follow: FollowReference): FollowReference {
    return async (source) => {
      try {
        return await follow(source);
      } catch (error) {
        if (error instanceof Error) this.#failures.add(error);
        throw error;
      }
    };
  }

  /** The same models, under their ids alone. */
  hide(models: ModelStore): ModelStore {
    return {
      list: () => models.list(),
      find: async (id) => {
        try {
          return withoutSource(await models.find(id));
        } catch (error) {
          throw error instanceof EtherError && this.#failures.has(error) ? hidden(error, id) : error;
        }
      },
    };
  }
}

/** A file elsewhere, whose errors do not say where. */
export async function openHidden(open: () => ByteSource | Promise<ByteSource>, locator: string): Promise<ByteSource> {
  const { name } = readLocator(locator);
  const guarded = async <T>(work: () => T | Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw error instanceof EtherError && error.code !== "interrupted" ? hidden(error, name) : error;
    }
  };
  const source = await guarded(open);
  return {
    ...{ name, size: source.size },
    read: (offset, into) => guarded(() => source.read(offset, into)),
    ...source.mark === undefined ? {} : { mark: () => source.mark!() },
    close: () => source.close(),
  };
}

/** The code, and the whole error as the cause: logs show it. */
function hidden(error: EtherError, file: string): EtherError {
  return new EtherError(error.code, "it is elsewhere, and cannot be read from there", { file, cause: error });
}

function withoutSource(stored: StoredModel | null): StoredModel | null {
  if (stored === null || stored.local) return stored;
  const { place } = stored;
  return { ...stored, place: { ...place, folder: renamed(place.folder, stored.id) } };
}

/** A folder that messages call by another name, and its files too. */
function renamed(folder: Folder, name: string): Folder {
  return {
    ...{ name, ownName: folder.ownName },
    list: () => folder.list(),
    locate: (path) => {
      const locator = folder.locate(path);
      // The folder itself is no file, and is not opened.
      return path === "" ? locator : writeLocator({ ...readLocator(locator), name: `${name}/${path}` });
    },
  };
}
