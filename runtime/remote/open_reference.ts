import type { Place } from "../checkpoints/model.ts";
import { HubFolder } from "./hub_folder.ts";
import type { Reference } from "./reference.ts";
import type { RemoteStorage } from "./remote_storage.ts";
import { WebFolder } from "./web_folder.ts";

/** A reference that was followed. */
export interface OpenedReference {
  readonly place: Place;
  /** A commit, or a digest of the files' ETags: another string as soon as any file is another. */
  readonly revision: string;
  /** The reference names this very revision: to follow it again gives the same. */
  readonly pinned: boolean;
  /** SHA-256 in hex of a file's (URL, size, strong ETag), where its own SHA-256 is not known. @default of its content */
  readonly identify?: ((path: string) => Promise<string>) | undefined;
}

/** Follows a reference: what is there, of which version. @throws {EtherError} see the two folders */
export async function openReference(reference: Reference, storage: RemoteStorage): Promise<OpenedReference> {
  if (reference.kind === "hub") {
    const folder = await HubFolder.open(reference, storage);
    return { place: folder.place, revision: folder.commit, pinned: reference.revision === folder.commit };
  }
  const folder = await WebFolder.open(reference, storage);
  return {
    place: { folder, file: reference.file },
    ...{ revision: await folder.revision(), pinned: false, identify: (path) => folder.identify(path) },
  };
}
