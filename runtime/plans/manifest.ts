/** `ether-merge.json`: what a merged folder was made of and what must be in it. No times, no absolute paths. */
import { EtherError } from "../error.ts";
import { Fields, INTEGER, listOf, OBJECT, STRING } from "../json/fields.ts";
import { parseJson } from "../json/parse.ts";

/** The manifest's name in a merged folder. */
export const MANIFEST_FILE = "ether-merge.json";

/** Version of the manifest's format. */
const VERSION = 1;

/** Raised only when some merged byte changes. */
export const ENGINE = 1;

/** A file and the digest of its bytes, `<algorithm>:<hex>`. */
export interface FileDigest {
  readonly path: string;
  readonly size: number;
  readonly digest: string;
  /** Plain SHA-256 beside a tree digest, where it was asked for. */
  readonly sha256?: string | undefined;
}

/** The manifest. */
export interface Manifest {
  readonly version: number;
  readonly engine: number;
  /** What computed, where it adds in another order than the engine: the bytes may be others, within the same bound. */
  readonly backend?: "webgpu" | undefined;
  /** Only where the adapters were undone: then they are listed in the order in which that was done. */
  readonly operation?: "unmerge" | undefined;
  readonly base: { readonly files: readonly FileDigest[] };
  readonly adapters: readonly Readonly<Record<string, unknown>>[];
  readonly outputs: readonly FileDigest[];
  readonly tensors: readonly { readonly name: string; readonly file: string; readonly ops: readonly string[] }[];
  readonly left_out: readonly string[];
}

/** Lays out a manifest; equal inputs give equal bytes. */
export function encodeManifest(manifest: Omit<Manifest, "version" | "engine">): Uint8Array<ArrayBuffer> {
  const document: Manifest = { version: VERSION, engine: ENGINE, ...manifest };
  return new TextEncoder().encode(`${JSON.stringify(document, null, 2)}\n`);
}

/** What verifying needs of a manifest. @throws {EtherError} `bad_config` */
export function parseManifest(bytes: Uint8Array, file: string): FileDigest[] {
  const fields = Fields.ofDocument(parseJson(bytes, "bad_config", file), "bad_config", file);
  const version = fields.required("version", INTEGER);
  if (version !== VERSION) {
    const hint = "a newer ether-edge wrote it";
    throw new EtherError("bad_config", `version ${version} is not ${VERSION}`, { file, field: "version", hint });
  }
  return fields.required("outputs", listOf(OBJECT)).map((object, index) => {
    const output = new Fields(object, "bad_config", file, `outputs[${index}]`);
    const digest = output.required("digest", STRING);
    if (!/^(sha256|sha256-tree1m):[0-9a-f]{64}$/.test(digest)) output.fail("digest", `${digest} is no known digest`);
    const path = output.required("path", STRING);
    const parts = path.split("/");
    if (parts.some((part) => part === "" || part === "." || part === "..")) output.fail("path", "leaves the folder");
    const size = output.required("size", INTEGER);
    if (size < 0) output.fail("size", `${size} bytes`);
    return { path, size, digest, sha256: output.optional("sha256", STRING) };
  });
}
