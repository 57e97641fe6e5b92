/** Which adapter is for which token of a call. */
import { EtherError } from "../error.ts";

/** Tokens that go through the same adapters. */
export interface TokenGroup {
  /** Indexes of the adapters, in order of application. */
  readonly adapters: readonly number[];
  /** Indexes of the tokens, in increasing order. */
  readonly tokens: readonly number[];
}

/** How many rows an array of activations `[tokens, dimension]` has. @throws {EtherError} `bad_shape` */
export function tokenCountOf(x: Float32Array, dimension: number, module: string): number {
  const count = x.length / dimension;
  if (Number.isInteger(count)) return count;
  const message = `${x.length} values are no whole rows of ${dimension}`;
  throw new EtherError("bad_shape", message, {
    tensor: module,
    hint: "activations are [tokens, dimension], row-major",
  });
}

/**
 * Without `rows` every token goes through all adapters; with it token t through adapter `rows[t]` alone, or none: −1.
 *
 * @throws {EtherError} `bad_shape`, `usage`
 */
export function groupTokens(
  rows: ArrayLike<number> | undefined,
  tokenCount: number,
  adapterCount: number,
): TokenGroup[] {
  if (rows === undefined) {
    const all = Array.from({ length: adapterCount }, (_, index) => index);
    return tokenCount === 0 ? [] : [{ adapters: all, tokens: Array.from({ length: tokenCount }, (_, t) => t) }];
  }
  if (rows.length !== tokenCount) {
    throw new EtherError("bad_shape", `${rows.length} rows for ${tokenCount} tokens`, { field: "rows" });
  }
  const groups = new Map<number, number[]>();
  for (let token = 0; token < tokenCount; token++) {
    const adapter = rows[token]!;
    if (!Number.isInteger(adapter) || adapter < -1 || adapter >= adapterCount) {
      const message = `rows[${token}] is ${adapter}, not an index of ${adapterCount} adapters, nor -1`;
      throw new EtherError("usage", message, { field: "rows" });
    }
    const tokens = groups.get(adapter);
    if (tokens === undefined) groups.set(adapter, [token]);
    else tokens.push(token);
  }
  return [...groups].map(([adapter, tokens]) => ({ adapters: adapter === -1 ? [] : [adapter], tokens }));
}
