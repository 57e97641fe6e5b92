/** A small Hub on this machine: repositories from folders, at one commit each. */
import { type LoopbackHost, serveBytes, type Serving, startHost } from "./loopback_host.ts";

/** The commit of every repository. */
export const COMMIT = "c0ffee".repeat(6) + "c0ff";

/** What the Hub does beside answering. */
export interface HubOptions {
  /** Files of a page of the list. @default all */
  readonly pageLength?: number;
  /** Wants this token for everything. */
  readonly token?: string;
  /** Paths that are kept elsewhere, with their SHA-256: `resolve` redirects to this origin. */
  readonly stored?: { readonly origin: string; readonly sha256: Readonly<Record<string, string>> };
  /** Said of the n-th download, from 0. */
  readonly serving?: (count: number) => Serving;
}

/** Starts a Hub. @param repositories  id → path → bytes */
export function startHub(
  repositories: Readonly<Record<string, Readonly<Record<string, Uint8Array<ArrayBuffer>>>>>,
  options: HubOptions = {},
): LoopbackHost {
  let downloads = 0;
  const fail = (status: number, code: string) => {
    return Response.json({ error: code }, { status, headers: { "x-error-code": code } });
  };
  const host = startHost((request) => {
    const url = new URL(request.url);
    const { token, stored, serving } = options;
    if (token !== undefined && request.headers.get("authorization") !== `Bearer ${token}`) {
      return fail(401, "RepoNotFound");
    }
    const api = /^\/api\/models\/(.+?)\/(revision|tree)\/([^/]+)$/.exec(url.pathname);
    const files = repositories[api?.[1] ?? /^\/(.+?)\/resolve\//.exec(url.pathname)?.[1] ?? ""];
    if (files === undefined) return fail(404, "RepoNotFound");
    if (api?.[2] === "revision") {
      return ["main", COMMIT, "refs%2Fpr%2F1"].includes(api[3]!)
        ? Response.json({ sha: COMMIT })
        : fail(404, "RevisionNotFound");
    }
    const items = Object.entries(files).map(([path, { byteLength }]) => {
      const sha256 = stored?.sha256[path];
      const lfs = sha256 === undefined ? {} : { lfs: { oid: sha256, size: byteLength, pointerSize: 134 } };
      return { type: "file", oid: "0".repeat(40), size: byteLength, path, ...lfs };
    });
    if (api !== null) {
      const from = Number(url.searchParams.get("cursor") ?? 0);
      const to = from + (options.pageLength ?? items.length);
      const next = `${host.origin}${url.pathname}?recursive=true&expand=false&cursor=${to}`;
      const headers: HeadersInit = to < items.length ? { link: `<${next}>; rel="next"` } : {};
      return Response.json([{ type: "directory", oid: "", size: 0, path: "sub" }, ...items.slice(from, to)], {
        headers,
      });
    }
    const [, commit, path] = /\/resolve\/([^/]+)\/(.+)$/.exec(url.pathname)!;
    const bytes = files[decodeURIComponent(path!)];
    if (commit !== COMMIT || bytes === undefined) return fail(404, "EntryNotFound");
    const sha256 = stored?.sha256[path!];
    if (stored !== undefined && sha256 !== undefined) {
      const headers = { location: `${stored.origin}/${path}`, "x-linked-etag": `"${sha256}"` };
      return new Response(null, { status: 302, headers });
    }
    return serveBytes(request, bytes, { etag: `"${path}-1"`, ...serving?.(downloads++) });
  });
  return host;
}

/** All files of a folder, by path. */
export function readFolder(root: URL): Record<string, Uint8Array<ArrayBuffer>> {
  const files: Record<string, Uint8Array<ArrayBuffer>> = {};
  for (const { name, isFile } of Deno.readDirSync(root)) {
    if (isFile && !name.startsWith(".")) files[name] = Deno.readFileSync(new URL(name, `${root}/`));
  }
  return files;
}
