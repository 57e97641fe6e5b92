/**
 * The commit of a recipe over a base: 40 hex that any node can answer, also one that never issued it.
 *
 * Its 160 bits, the first the highest:
 *
 *     4   version of this form
 *     4   how many adapters follow; 15: none, a table must be asked
 *     45  for each adapter: 24 bits of its digest, 21 of 10⁴ × strength, in two's complement
 *     …   the rest: a check, the first bits of SHA-256 over base, whole digests, strengths, engine and server's format
 *
 * A node looks the prefixes up among its adapters and settles several that fit by the check: 62 bits of it for two
 * adapters, 107 for one.
 */
import { sha256Hex } from "../io/digest.ts";
import { ENGINE } from "../plans/manifest.ts";

/** Raised when the same recipe over the same files would give another list of files, or other bytes of small ones. */
export const SERVER_FORMAT = 1;

const VERSION = 1n;
const TABLE = 15n;
const BITS = 160;
const STRENGTH_BITS = 21;
const PREFIX_HEX = 6;

/** Of so many adapters a commit tells by itself. */
export const MAX_SELF_DESCRIBED = 2;

/** What a commit stands for. */
export interface CommitFacts {
  /** Identity of the base's repository, 64 hex. */
  readonly base: string;
  /** In order of application. */
  readonly adapters: readonly CommitAdapter[];
}

/** One adapter of a commit. */
export interface CommitAdapter {
  /** The adapter's digest, 64 hex. */
  readonly digest: string;
  /** 10⁴ × strength. */
  readonly tenThousandths: number;
}

/** What can be read off a commit. */
export type DecodedCommit =
  | { readonly kind: "base" }
  | { readonly kind: "adapters"; readonly parts: readonly CommitPart[] }
  | { readonly kind: "table" };

/** What can be read off a commit about an adapter. */
export interface CommitPart {
  /** The first 6 hex of its digest. */
  readonly digestPrefix: string;
  /** 10⁴ × strength. */
  readonly tenThousandths: number;
}

/** The first hex digits of a digest, as a commit has them. */
export function digestPrefixOf(digest: string): string {
  return digest.slice(0, PREFIX_HEX);
}

/** The commit, 40 lower-case hex. Of more than {@link MAX_SELF_DESCRIBED} adapters it is a hash, and says only that. */
export async function encodeCommit(facts: CommitFacts): Promise<string> {
  const { adapters } = facts;
  const described = adapters.length <= MAX_SELF_DESCRIBED ? adapters : null;
  let bits = VERSION << 4n | (described === null ? TABLE : BigInt(described.length));
  let left = BITS - 8;
  for (const { digest, tenThousandths } of described ?? []) {
    bits = bits << BigInt(4 * PREFIX_HEX) | BigInt(`0x${digestPrefixOf(digest)}`);
    bits = bits << BigInt(STRENGTH_BITS) | BigInt.asUintN(STRENGTH_BITS, BigInt(tenThousandths));
    left -= 4 * PREFIX_HEX + STRENGTH_BITS;
  }
  const check = BigInt(`0x${await checkOf(facts)}`) >> BigInt(256 - left);
  return (bits << BigInt(left) | check).toString(16).padStart(BITS / 4, "0");
}

/** Takes a commit apart; null for one of another form. Whether its check holds {@link encodeCommit} tells. */
export function decodeCommit(commit: string): DecodedCommit | null {
  if (!/^[0-9a-f]{40}$/.test(commit)) return null;
  const bits = BigInt(`0x${commit}`);
  if (bits >> BigInt(BITS - 4) !== VERSION) return null;
  const count = bits >> BigInt(BITS - 8) & 15n;
  if (count === TABLE) return { kind: "table" };
  if (count === 0n) return { kind: "base" };
  if (count > BigInt(MAX_SELF_DESCRIBED)) return null;
  const parts: CommitPart[] = [];
  let left = BITS - 8;
  for (let i = 0; i < Number(count); i++) {
    left -= 4 * PREFIX_HEX;
    const prefix = BigInt.asUintN(4 * PREFIX_HEX, bits >> BigInt(left));
    left -= STRENGTH_BITS;
    const strength = BigInt.asIntN(STRENGTH_BITS, bits >> BigInt(left));
    parts.push({ digestPrefix: prefix.toString(16).padStart(PREFIX_HEX, "0"), tenThousandths: Number(strength) });
  }
  return { kind: "adapters", parts };
}

function checkOf({ base, adapters }: CommitFacts): Promise<string> {
  const lines = [
    `ether-edge commit ${VERSION} engine ${ENGINE} format ${SERVER_FORMAT}`,
    `base ${base}`,
    ...adapters.map(({ digest, tenThousandths }) => `adapter ${digest} ${tenThousandths}`),
  ];
  return sha256Hex(new TextEncoder().encode(lines.map((line) => `${line}\n`).join("")));
}
