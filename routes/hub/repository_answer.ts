/** Answers what is asked of one repository. */
import type { Context } from "hono";
import type { BaseRepository } from "../../runtime/repositories/base_repository.ts";
import type { Repository } from "../../runtime/repositories/repository.ts";
import { readBody } from "../access/body.ts";
import type { RouteContext, RouteEnv } from "../context.ts";
import { answerFile } from "../files/answer_file.ts";
import { listBranches, listCommits } from "./history.ts";
import { entryNotFound, printable, refusesRecipe, repositoryNotFound, revisionNotFound } from "./hub_error.ts";
import { listPaths, listTree } from "./listing.ts";
import { readPathsRequest } from "./paths_request.ts";
import { isTrue } from "./query.ts";
import { repositoryObject } from "./repository_object.ts";
import type { Reading, Target } from "./target.ts";

/** A commit's bytes never change. Not to be compressed on the way: a client takes the length for the file's. */
const FOREVER = "max-age=31536000, immutable, no-transform";

type FileTarget = Extract<Target, { kind: "file" }>;

/**
 * Answers a request.
 *
 * @param readings  ways to read the URL; the first whose repository exists counts
 * @param prefix    path under which clients see the app, without a slash at its end
 * @throws {HubError} of what is not there; {@link RequestError}; {@link EtherError}
 */
export async function answerReadings(
  context: Context<RouteEnv>,
  readings: readonly Reading[],
  routes: RouteContext,
  prefix: string,
): Promise<Response> {
  for (const { repository: id, target } of readings) {
    const base = await routes.repositories.base(id);
    if (base === null) continue;
    context.get("record").route = ROUTE_OF_KIND[target.kind];
    return await answerTarget(context, base, target, routes, prefix);
  }
  throw repositoryNotFound();
}

/** As the log and the metrics name the routes. */
export const ROUTE_OF_KIND: Readonly<Record<Target["kind"], string>> = {
  "file": "/{repo}/resolve/{revision}/{path}",
  "model": "/api/models/{repo}",
  "revision": "/api/models/{repo}/revision/{revision}",
  "tree": "/api/models/{repo}/tree/{revision}/{path}",
  "paths-info": "/api/models/{repo}/paths-info/{revision}",
  "refs": "/api/models/{repo}/refs",
  "commits": "/api/models/{repo}/commits/{revision}",
  "auth-check": "/api/models/{repo}/auth-check",
};

async function answerTarget(
  context: Context<RouteEnv>,
  base: BaseRepository,
  target: Target,
  routes: RouteContext,
  prefix: string,
): Promise<Response> {
  const { repositories } = routes;
  const { visible } = context.get("caller");
  switch (target.kind) {
    case "auth-check":
      return json({});
    case "refs": {
      const requests = isTrue(context.req.query("include_prs")) ? { pullRequests: [] } : {};
      const branches = await listBranches(repositories, base, visible);
      return json({ branches, converts: [], tags: [], ...requests });
    }
  }
  const repository = await findRevision(context, base, target.kind === "model" ? "main" : target.revision, routes);
  const commit = { "x-repo-commit": repository.commit };
  switch (target.kind) {
    case "file":
      return sendFile(context, repository, target, routes, prefix);
    case "model":
    case "revision": {
      const isPrivate = routes.access.readsNeedToken;
      const object = await repositoryObject(repository, { isPrivate, blobs: isTrue(context.req.query("blobs")) });
      return json(object, commit);
    }
    case "tree": {
      const { recursive, expand } = context.req.query();
      const entries = await listTree(repository, target.path, { recursive: isTrue(recursive), expand: isTrue(expand) });
      if (entries === null) throw entryNotFound(repository.commit);
      return json(entries, commit);
    }
    case "paths-info": {
      const { limits: { jsonBytes, bodyMilliseconds }, budget } = routes;
      const limits = { maxBytes: jsonBytes, milliseconds: bodyMilliseconds };
      const { bytes, reservation } = await readBody(context.req.raw, limits, budget);
      try {
        const { paths, expand } = readPathsRequest(context.req.header("content-type") ?? null, bytes);
        return json(await listPaths(repository, paths, expand), commit);
      } finally {
        reservation.release();
      }
    }
    case "commits": {
      const commits = listCommits(base, repository);
      return json(commits, { ...commit, "x-total-count": String(commits.length) });
    }
  }
}

/** @throws {HubError} `RevisionNotFound`, also for a recipe that cannot be merged into this base */
async function findRevision(
  context: Context<RouteEnv>,
  base: BaseRepository,
  revision: string,
  { repositories }: RouteContext,
): Promise<Repository> {
  let repository: Repository | null;
  try {
    repository = await repositories.revision(base, revision, context.get("caller").visible);
  } catch (error) {
    throw refusesRecipe(error) ? revisionNotFound(error) : error;
  }
  if (repository === null) throw revisionNotFound();
  return repository;
}

function sendFile(
  context: Context<RouteEnv>,
  repository: Repository,
  { action, revision, path }: FileTarget,
  routes: RouteContext,
  prefix: string,
): Response {
  const file = repository.file(path);
  if (file === undefined) throw entryNotFound(repository.commit);
  const commit = { "x-repo-commit": repository.commit };
  if (revision !== repository.commit) {
    // Whatever the client reads from here on is of one moment, also what it resumes later. The host stays the one that
    // the client sees, and clients take over nothing but a path.
    const encoded = path.split("/").map(encodeURIComponent).join("/");
    const location = `${prefix}/${repository.id}/${action}/${repository.commit}/${encoded}`;
    const headers = { ...commit, location, "cache-control": "no-cache", "content-length": "0" };
    return new Response(null, { status: 307, headers });
  }
  const cacheControl = `${routes.access.readsNeedToken ? "private" : "public"}, ${FOREVER}`;
  const served = {
    ...{ path: file.path, size: file.size, etag: file.etag, pieceByteLength: file.pieceByteLength },
    open: (range: { start: number; end: number }) => repository.stream(file, range),
  };
  const warning = warningOf(repository);
  const more = warning === null ? {} : { "x-hf-warning": warning };
  return answerFile(context, routes, served, { ...commit, ...more, "cache-control": cacheControl });
}

/** The first of a recipe's warnings as the Hub's clients print it: `topic; message`. */
function warningOf({ warnings: [first] }: Repository): string | null {
  return first === undefined ? null : `Recipe; ${printable(first)}`;
}

/** The length is said: that of a HEAD would be 0. */
export function json(value: unknown, headers: Readonly<Record<string, string>> = {}): Response {
  const body = new TextEncoder().encode(JSON.stringify(value));
  return new Response(body, {
    headers: {
      ...{ "content-type": "application/json", "content-length": String(body.byteLength) },
      ...{ "cache-control": "no-cache", ...headers },
    },
  });
}
