/** Who may read on the Hub's routes, in the words of its clients. */
import type { Caller } from "../access/tokens.ts";
import { HubError } from "./hub_error.ts";

/**
 * Refuses a caller who may not read, before anything is looked up: every repository looks the same, whether it exists
 * or not.
 *
 * @throws {HubError} 401, 403
 */
export function requireHubRead({ read, token }: Caller): void {
  if (read) return;
  if (token === "unknown") throw invalidCredentials();
  if (token === "known") throw new HubError("GatedRepo", 403, "forbidden", "The token does not allow to read");
  throw new HubError("GatedRepo", 401, "unauthorized", "Access to this repository needs a token");
}

/** Who the caller is, as `whoami` answers. @throws {HubError} 401 without a token that is known */
export function whoAmI({ token, tokenId, write }: Caller) {
  if (token !== "known") throw invalidCredentials();
  const name = `token-${tokenId}`;
  return {
    ...{ type: "user", id: tokenId, name, fullname: name, isPro: false, orgs: [] },
    auth: { type: "access_token", accessToken: { displayName: name, role: write ? "write" : "read" } },
  };
}

function invalidCredentials(): HubError {
  return new HubError(null, 401, "unauthorized", "Invalid credentials in Authorization header");
}
