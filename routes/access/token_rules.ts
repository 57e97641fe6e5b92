/** Who may do what, as the operator writes it down: a list of tokens by their digests. */
import { EtherError } from "../../runtime/error.ts";
import { BOOLEAN, Fields, STRING, STRING_LIST } from "../../runtime/json/fields.ts";
import { parseJson } from "../../runtime/json/parse.ts";
import { sha256Hex } from "../../runtime/io/digest.ts";

/** What one token allows. */
export interface TokenRule {
  /** SHA-256 of the token in lower-case hex: the token itself is nowhere. */
  readonly sha256: string;
  /** It may read. */
  readonly read: boolean;
  /** It may put and delete adapters. */
  readonly write: boolean;
  /** Ids of the adapters that it is about; `*` in them stands for any text. */
  readonly adapters: readonly string[];
}

/** The two tokens of a server that needs no more. */
export interface SimpleTokens {
  readonly readToken?: string | undefined;
  readonly writeToken?: string | undefined;
}

/** More is a mistake: every request is held against every rule. */
const MAX_RULES = 10_000;
/** A pattern's and a token's length. */
const MAX_LENGTH = 4096;

/**
 * Reads a list `[{sha256, read, write, adapters}]`. `read` and `write` are false where they are absent, `adapters` is
 * every adapter.
 *
 * @param file  what messages call it
 * @throws {EtherError} `bad_config` with the rule's number and field
 */
export function parseTokenRules(bytes: Uint8Array, file: string): TokenRule[] {
  const list = parseJson(bytes, "bad_config", file);
  if (!Array.isArray(list)) {
    throw new EtherError("bad_config", "the file holds no list of tokens", {
      file,
      hint: 'write [{"sha256": "<SHA-256 of the token>", "read": true, "write": false, "adapters": ["*"]}]',
    });
  }
  if (list.length > MAX_RULES) {
    throw new EtherError("bad_config", `${list.length} tokens are more than ${MAX_RULES}`, { file });
  }
  const seen = new Set<string>();
  return list.map((item, index) => {
    if (!(item instanceof Map)) {
      throw new EtherError("bad_config", `item ${index} is no object`, { file, field: `[${index}]` });
    }
    const fields = new Fields(item, "bad_config", file, `[${index}]`);
    for (const name of item.keys()) {
      // A rule that was misspelt must not be read as one that allows more.
      if (!["sha256", "read", "write", "adapters"].includes(name)) fields.fail(name, "no field of a token's rule");
    }
    const sha256 = fields.required("sha256", STRING).toLowerCase();
    if (!/^[0-9a-f]{64}$/.test(sha256)) fields.fail("sha256", "not a SHA-256 in hex");
    if (seen.has(sha256)) fields.fail("sha256", "the same token has a rule already");
    seen.add(sha256);
    const adapters = fields.optional("adapters", STRING_LIST) ?? ["*"];
    if (adapters.some((pattern) => pattern.length > MAX_LENGTH)) fields.fail("adapters", "a pattern is too long");
    const read = fields.optional("read", BOOLEAN) ?? false;
    const write = fields.optional("write", BOOLEAN) ?? false;
    if (!read && !write) fields.fail("read", "the token allows nothing");
    return { sha256, read, write, adapters };
  });
}

/**
 * The rules of the two simple tokens, for all adapters. The writer reads too where reading takes a token; where it
 * takes none, everyone reads.
 *
 * @throws {EtherError} `usage` where a token is empty, has blanks, or both are the same
 */
export async function simpleTokenRules(tokens: SimpleTokens): Promise<TokenRule[]> {
  checkTokens(tokens);
  const { readToken, writeToken } = tokens;
  const rules: TokenRule[] = [];
  if (readToken !== undefined) {
    rules.push({ sha256: await digestToken(readToken), read: true, write: false, adapters: ["*"] });
  }
  if (writeToken !== undefined) {
    const read = readToken !== undefined;
    rules.push({ sha256: await digestToken(writeToken), read, write: true, adapters: ["*"] });
  }
  return rules;
}

/** @throws {EtherError} `usage` where a token is empty, has blanks, or both are the same */
export function checkTokens({ readToken, writeToken }: SimpleTokens): void {
  for (const [field, token] of Object.entries({ readToken, writeToken })) {
    if (token === undefined || (/^[\x21-\x7e]+$/.test(token) && token.length <= MAX_LENGTH)) continue;
    const message = "the token is empty, too long, or has characters that no header carries";
    throw new EtherError("usage", message, { field, hint: "Hub clients want one that begins with hf_" });
  }
  if (readToken !== undefined && readToken === writeToken) {
    const hint = "with one token for both, every reader could write";
    throw new EtherError("usage", "the read token is the write token", { field: "writeToken", hint });
  }
}

async function digestToken(token: string): Promise<string> {
  return await sha256Hex(new TextEncoder().encode(token));
}
