/** Asks the server that sent this page. */

/** Kept here alone: closing or reloading the page forgets it. */
let token = "";

/** Where the app is mounted, ending in a slash, whatever stands before it: a proxy's prefix too. */
export function rootOf({ origin, pathname }) {
  return new URL(pathname.replace(/\/?$/, "/"), origin).href;
}

/** Sends this token from now on; nothing if it is empty. */
export function useToken(text) {
  token = text;
}

/** True while a token is sent. */
export function hasToken() {
  return token !== "";
}

/** What went wrong, with the answer's status; 0 where there was no answer. */
export class Refusal extends Error {
  constructor(status, message, code = "") {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * A JSON document of the server: GET, or POST where there is something to send.
 *
 * @param accepted  statuses whose document is wanted beside those of success
 */
export async function ask(path, body = undefined, accepted = []) {
  const headers = token === "" ? {} : { authorization: `Bearer ${token}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(new URL(path, rootOf(location)), {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "omit",
    });
  } catch {
    throw new Refusal(0, "the server does not answer");
  }
  const document = await answer.json().catch(() => null);
  if (answer.ok || accepted.includes(answer.status)) return document;
  const { detail = answer.statusText, code = "", hint } = document ?? {};
  throw new Refusal(answer.status, hint === undefined ? detail : `${detail}; ${hint}`, code);
}
