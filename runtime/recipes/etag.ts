/** Names of bytes that are not computed yet: the ETag of a merged file says what it is made of. */
import { sha256Hex } from "../io/digest.ts";
import { ENGINE } from "../plans/manifest.ts";
import { type CommitAdapter, SERVER_FORMAT } from "./commit.ts";

const PREFIX = "eth1-";

/** What a merged file is made of. */
export interface MergedFileFacts {
  /** Relative to the repository. */
  readonly path: string;
  /** Identity of the base's file. */
  readonly identity: string;
  /** In order of application. */
  readonly adapters: readonly CommitAdapter[];
}

/** `eth1-` and 40 hex, the same on every node; without quotes. */
export async function mergedEtag({ path, identity, adapters }: MergedFileFacts): Promise<string> {
  return await opaqueEtag([
    `merged engine ${ENGINE} format ${SERVER_FORMAT}`,
    `path ${path}`,
    `base ${identity}`,
    ...adapters.map(({ digest, tenThousandths }) => `adapter ${digest} ${tenThousandths}`),
  ]);
}

/** `eth1-` and 40 hex, of a base's file whose SHA-256 nobody knows but whose origin vouches for its identity. */
export async function originEtag(identity: string): Promise<string> {
  return await opaqueEtag([`origin ${identity}`]);
}

/** The 40 hex of an ETag that this file made. */
export function oidOfEtag(etag: string): string {
  return etag.slice(PREFIX.length);
}

/** Never 64 or 40 hex by itself: clients take those for a SHA-256 and for a git blob. */
async function opaqueEtag(lines: readonly string[]): Promise<string> {
  const digest = await sha256Hex(new TextEncoder().encode(lines.map((line) => `${line}\n`).join("")));
  return `${PREFIX}${digest.slice(0, 40)}`;
}
