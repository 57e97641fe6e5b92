/** What the Hub says of a repository as a whole. */
import type { Repository } from "../../runtime/repositories/repository.ts";
import { lfsFacts } from "./listing.ts";
import { sha1Hex } from "./sha1.ts";

/**
 * A revision of a repository as one object.
 *
 * @param isPrivate  true where reading takes a token
 * @param blobs      with the sizes of the files
 */
export async function repositoryObject(
  repository: Repository,
  { isPrivate, blobs }: { readonly isPrivate: boolean; readonly blobs: boolean },
) {
  const { id, commit, files } = repository;
  const date = repository.lastModified.toISOString();
  return {
    // An object's number on the Hub; clients want one that stays.
    _id: (await sha1Hex(id)).slice(0, 24),
    ...{ id, modelId: id, author: id.includes("/") ? id.slice(0, id.indexOf("/")) : null, sha: commit },
    ...{ private: isPrivate, gated: false, disabled: false, lastModified: date, createdAt: date },
    ...{ downloads: 0, likes: 0, tags: [] },
    ...(repository.file("config.json") === undefined ? {} : { library_name: "transformers" }),
    siblings: files.map((file) => {
      if (!blobs) return { rfilename: file.path };
      const facts = lfsFacts(file);
      const lfs = "lfs" in facts
        ? { lfs: { sha256: facts.lfs.oid, size: facts.lfs.size, pointerSize: facts.lfs.pointerSize } }
        : {};
      return { rfilename: file.path, size: file.size, blobId: file.oid, ...lfs };
    }),
  };
}
