/** What a client is told of a base's file before it has its bytes: ETag, git's id, SHA-256. */
import { toHex } from "../io/digest.ts";
import { oidOfEtag, originEtag } from "../recipes/etag.ts";
import type { RepositoryFile } from "./repository.ts";

/** A base's file, and what its bytes are known by. */
export interface IdentifiedFile {
  readonly file: RepositoryFile;
  /** Equal for equal bytes: a SHA-256 in hex, or what an origin vouches for. */
  readonly identity: string;
}

/** A file that a Hub would keep in git itself. */
export async function smallFile(path: string, bytes: Uint8Array<ArrayBuffer>): Promise<IdentifiedFile> {
  const etag = toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
  const file = { path, size: bytes.byteLength, etag, oid: await gitBlobId(bytes), sha256: null };
  return { file, identity: etag };
}

/** A file that a Hub would keep as LFS: git has a pointer to it. */
export async function largeFile(path: string, size: number, sha256: string): Promise<IdentifiedFile> {
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${size}\n`;
  const oid = await gitBlobId(new TextEncoder().encode(pointer));
  return { file: { path, size, etag: sha256, oid, sha256 }, identity: sha256 };
}

/** A file whose SHA-256 nobody knows, of an origin that would say if it changed. */
export async function originFile(path: string, size: number, identity: string): Promise<IdentifiedFile> {
  const etag = await originEtag(identity);
  return { file: { path, size, etag, oid: oidOfEtag(etag), sha256: null }, identity: `origin ${identity}` };
}

/** Git's id of a file of these bytes, 40 hex. */
export async function gitBlobId(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const head = new TextEncoder().encode(`blob ${bytes.byteLength}\0`);
  const blob = new Uint8Array(head.byteLength + bytes.byteLength);
  blob.set(head);
  blob.set(bytes, head.byteLength);
  return toHex(new Uint8Array(await crypto.subtle.digest("SHA-1", blob)));
}
