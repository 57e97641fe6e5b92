/** Who asks, by the token that a request brings. */
import { EtherError } from "../../runtime/error.ts";
import type { Visible } from "../../runtime/repositories/repositories.ts";
import { matchesGlob } from "./glob.ts";
import { checkTokens, simpleTokenRules, type SimpleTokens, type TokenRule } from "./token_rules.ts";

/** Who asks, and what they may. */
export interface Caller {
  /** `unknown`: a token that no rule knows. Hub clients send their user's own token wherever they are pointed to. */
  readonly token: "none" | "unknown" | "known";
  /** The first 8 hex of the token's SHA-256, for logs; null without a token that is known. */
  readonly tokenId: string | null;
  /** May read bases and those adapters that are {@link visible}. */
  readonly read: boolean;
  /** May put and delete those adapters that are {@link writable}. */
  readonly write: boolean;
  /** True for an adapter that the caller may read; every other one is as if it were not there. */
  readonly visible: Visible;
  /** True for an adapter that the caller may put and delete. */
  readonly writable: Visible;
}

/** A token longer than this is no token. */
const MAX_TOKEN_LENGTH = 4096;

interface Rule extends TokenRule {
  readonly digest: Uint8Array;
}

/** The rules of one server. */
export class AccessRules {
  /** True where reading takes a token. */
  readonly readsNeedToken: boolean;
  /** True where there is anyone who may write; without, the routes that write do not exist. */
  readonly hasWriters: boolean;
  /** True where what is answered may depend on the token. */
  readonly hasRules: boolean;
  readonly #given: readonly TokenRule[];
  readonly #simple: SimpleTokens;
  /** Digests of tokens are computed by a promise, and an app is made without one. */
  #rules: Promise<readonly Rule[]> | null = null;

  /**
   * @param rules   without any, everyone reads and nobody writes; with none that reads, everyone reads
   * @param simple  tokens for all adapters, beside those of the rules
   * @throws {EtherError} `usage` for tokens that cannot be
   */
  constructor(rules: readonly TokenRule[], simple: SimpleTokens = {}) {
    checkTokens(simple);
    this.#given = rules;
    this.#simple = simple;
    this.readsNeedToken = simple.readToken !== undefined || rules.some(({ read }) => read);
    this.hasWriters = simple.writeToken !== undefined || rules.some(({ write }) => write);
    this.hasRules = this.readsNeedToken || this.hasWriters;
  }

  /** Who sends this `Authorization` header. Never throws: what a caller may not do is refused where it is done. */
  async callerOf(authorization: string | null | undefined): Promise<Caller> {
    const token = bearerToken(authorization);
    if (token === null) return this.#stranger("none");
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token)));
    let found: Rule | null = null;
    // Every rule is compared, and every byte: how long it takes says nothing of which one was nearly right.
    for (const rule of await (this.#rules ??= this.#digested())) {
      if (equalBytes(rule.digest, digest)) found = rule;
    }
    if (found === null) return this.#stranger("unknown");
    const { sha256, write, adapters } = found;
    const read = found.read || !this.readsNeedToken;
    const covers = (id: string) => adapters.some((pattern) => matchesGlob(pattern, id));
    return {
      ...{ token: "known", tokenId: sha256.slice(0, 8), read, write },
      // Where everyone reads everything, a token does not see less.
      visible: this.readsNeedToken ? (id) => read && covers(id) : () => true,
      writable: (id) => write && covers(id),
    };
  }

  async #digested(): Promise<readonly Rule[]> {
    const rules = [...this.#given, ...await simpleTokenRules(this.#simple)];
    return rules.map((rule) => ({ ...rule, digest: fromHex(rule.sha256) }));
  }

  #stranger(token: "none" | "unknown"): Caller {
    const read = !this.readsNeedToken;
    return { token, tokenId: null, read, write: false, visible: () => read, writable: () => false };
  }
}

/** @throws {EtherError} `unauthorized`, `forbidden` */
export function requireRead(caller: Caller): void {
  if (!caller.read) throw refusal(caller, "read");
}

/** @throws {EtherError} `unauthorized`, `forbidden` */
export function requireWrite(caller: Caller): void {
  if (!caller.write) throw refusal(caller, "write");
}

function refusal({ token }: Caller, action: string): EtherError {
  if (token === "known") return new EtherError("forbidden", `the token does not allow to ${action}`);
  const message = token === "none" ? `a token is needed to ${action}` : "the token is not known here";
  return new EtherError("unauthorized", message, { hint: "send Authorization: Bearer <token>" });
}

/** The token of `Bearer <token>`; null for anything else. */
function bearerToken(authorization: string | null | undefined): string | null {
  if (authorization == null || authorization.length > MAX_TOKEN_LENGTH + 10) return null;
  return /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization)?.[1] ?? null;
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

function fromHex(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}
