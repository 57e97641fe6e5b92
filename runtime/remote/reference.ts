/** What a user may name that is not on this machine. */
import { EtherError } from "../error.ts";

/** A Hub's repository, or a folder or file by its URL. */
export type Reference = HubReference | WebReference;

/** `hf://owner/repo[@revision]`. */
export interface HubReference {
  readonly kind: "hub";
  /** As the user gave it. */
  readonly text: string;
  /** `owner/repo`, or `repo` alone. */
  readonly repo: string;
  /** A branch, tag, commit, or recipe. @default `main` */
  readonly revision: string;
}

/** `https://host/path/`, a folder, or a file in it. */
export interface WebReference {
  readonly kind: "web";
  readonly text: string;
  /** With a slash at its end. */
  readonly folder: URL;
  /** The file's name; null where the folder is meant. */
  readonly file: string | null;
}

/** True for what {@link parseReference} reads; a path of this machine has no scheme. */
export function isReference(text: string): boolean {
  return /^(hf|https?):\/\//i.test(text);
}

/** @throws {EtherError} `usage`, with `field` as the flag */
export function parseReference(text: string, field?: string): Reference {
  return /^hf:/i.test(text) ? parseHub(text, field) : parseWeb(text, field);
}

/** As the Hub's own clients have it. */
const REPO_PART = /^(?![-.])[A-Za-z0-9_.-]{1,96}(?<![-.])$/;
const MAX_REVISION = 255;

function parseHub(text: string, field: string | undefined): HubReference {
  const [, repo = "", revision = "main"] = /^hf:\/\/([^@]*)(?:@(.*))?$/is.exec(text) ?? [];
  const parts = repo.replace(/\/$/, "").split("/");
  const valid = parts.length <= 2 && parts.every((part) => {
    return REPO_PART.test(part) && !part.includes("--") && !part.includes("..") && !/\.git$/i.test(part);
  });
  if (!valid) {
    const hint = "hf://owner/repo or hf://owner/repo@revision";
    throw new EtherError("usage", `${JSON.stringify(repo)} is no repository's name`, { field, hint });
  }
  // deno-lint-ignore no-control-regex -- what would break a line or a request
  const wrong = revision.length > MAX_REVISION || /[\x00-\x20\x7f\\]/.test(revision) ||
    revision.split("/").some((part) => part === "" || part === "." || part === "..");
  if (wrong) throw new EtherError("usage", `${JSON.stringify(revision)} is no revision`, { field });
  return { kind: "hub", text, repo: parts.join("/"), revision };
}

function parseWeb(text: string, field: string | undefined): WebReference {
  const url = URL.parse(text);
  if (url === null) throw new EtherError("usage", `${JSON.stringify(text)} is no URL`, { field });
  if (url.username !== "" || url.password !== "") {
    throw new EtherError("usage", "a URL with a name or a password", { field, hint: "they would be written down" });
  }
  if (url.search !== "" || url.hash !== "") {
    const hint = "other files are looked for beside it: name the plain URL";
    throw new EtherError("usage", "a URL with ? or #", { field, hint });
  }
  const name = url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
  if (!/\.(safetensors|pth)$/i.test(name)) {
    if (name !== "") url.pathname += "/";
    return { kind: "web", text, folder: url, file: null };
  }
  return { kind: "web", text, folder: new URL(".", url), file: decodeName(name, field) };
}

function decodeName(name: string, field: string | undefined): string {
  try {
    const decoded = decodeURIComponent(name);
    if (!/[/\\\0]/.test(decoded)) return decoded;
  } catch {
    // Said below.
  }
  throw new EtherError("usage", `${JSON.stringify(name)} is no file's name`, { field });
}
