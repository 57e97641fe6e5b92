/** A file elsewhere as a string, from which another thread can open it again. It holds no secret. */
import { EtherError } from "../error.ts";
import { Fields, INTEGER, STRING } from "../json/fields.ts";
import { parseJson } from "../json/parse.ts";

/** A file elsewhere, of known size. */
export interface RemoteFile {
  /** What messages call it. */
  readonly name: string;
  readonly url: string;
  /** Bytes. */
  readonly size: number;
  /** Its strong ETag, with quotes, where a listing has asked for it; else the first read does. */
  readonly etag?: string | undefined;
  /** Its SHA-256 in hex, where a listing says so; a Hub's ETag has to agree. */
  readonly sha256?: string | undefined;
}

/** True for what {@link writeLocator} wrote; the path of a file on this machine begins with a slash. */
export function isRemoteLocator(locator: string): boolean {
  return locator.startsWith("{");
}

/** One line of JSON. */
export function writeLocator({ name, url, size, etag, sha256 }: RemoteFile): string {
  return JSON.stringify({ name, url, size, etag, sha256 });
}

/** @throws {EtherError} `usage` for what {@link writeLocator} did not write */
export function readLocator(locator: string): RemoteFile {
  const bytes = new TextEncoder().encode(locator);
  const fields = Fields.ofDocument(parseJson(bytes, "usage", "locator"), "usage", "locator");
  const size = fields.required("size", INTEGER);
  if (size < 0) throw new EtherError("usage", `${size} is no size`, { file: "locator" });
  return {
    ...{ name: fields.required("name", STRING), url: fields.required("url", STRING), size },
    ...{ etag: fields.optional("etag", STRING) ?? undefined, sha256: fields.optional("sha256", STRING) ?? undefined },
  };
}
