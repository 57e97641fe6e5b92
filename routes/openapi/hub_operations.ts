/** The Hub's read routes, as Hugging Face clients ask for them. Their bodies are the Hub's, not ours to define. */
import type { Answer, Content, Operation } from "./operation.ts";

const JSON_CONTENT: readonly Content[] = [{ type: "application/json" }];
const FILE_CONTENT: readonly Content[] = [{ type: "application/octet-stream" }];

const NAMES = "`repo` is a base, `name` or `org/name`, its slash as it is. `revision` is `main`, a recipe such as " +
  "`poet@0.5+brief`, or a commit.";

const FILE_HEADERS = {
  "ETag": "Strong, and known before a byte is computed; equal if and only if the bytes are.",
  "X-Repo-Commit": "The commit that the revision is.",
  "Accept-Ranges": "`bytes`",
};

const FILE_ANSWERS: Readonly<Record<number, Answer>> = {
  200: { description: "The whole file.", content: FILE_CONTENT, headers: FILE_HEADERS },
  206: { description: "One range, or several as multipart.", content: FILE_CONTENT, headers: FILE_HEADERS },
  304: { description: "The caller has it." },
  307: { description: "The same file by its commit.", headers: { Location: "A path of this host." } },
};

const FILE_REQUEST_HEADERS = {
  "Range": "Bytes, one range or several.",
  "If-Range": "The range only of the file that has this entity tag.",
  "If-Match": "Only where the file has one of these entity tags.",
  "If-None-Match": "Entity tags that the caller has.",
};

function read(id: string, path: string, summary: string, more: Partial<Operation> = {}): Operation {
  return {
    ...{ id, method: "get", path, summary, tag: "hub", access: "read", errors: [404, 429] },
    ...{ description: NAMES, answers: { 200: { description: "As the Hub answers.", content: JSON_CONTENT } } },
    ...more,
  };
}

/** The operations. */
export const HUB_OPERATIONS: readonly Operation[] = [
  read("getFile", "/{repo}/resolve/{revision}/{path}", "A file, merged as it is read", {
    ...{ headers: FILE_REQUEST_HEADERS, answers: FILE_ANSWERS, errors: [404, 412, 416, 429] },
  }),
  read("getRawFile", "/{repo}/raw/{revision}/{path}", "The same; there are no pointer files", {
    ...{ headers: FILE_REQUEST_HEADERS, answers: FILE_ANSWERS, errors: [404, 412, 416, 429] },
  }),
  read("getModel", "/api/models/{repo}", "A base"),
  read("getRevision", "/api/models/{repo}/revision/{revision}", "A base, or a base with adapters"),
  read("listTree", "/api/models/{repo}/tree/{revision}", "The files of a revision"),
  read("listFolder", "/api/models/{repo}/tree/{revision}/{path}", "The files of a folder of a revision"),
  read("getPathsInfo", "/api/models/{repo}/paths-info/{revision}", "Some files of a revision", {
    ...{ method: "post", errors: [400, 404, 408, 413, 415, 429] },
    body: [{ type: "application/json" }, { type: "application/x-www-form-urlencoded" }],
  }),
  read("listRefs", "/api/models/{repo}/refs", "The base and what each adapter makes of it, as branches"),
  read("listCommits", "/api/models/{repo}/commits/{revision}", "The commit of a revision, and the base's", {
    answers: {
      200: { description: "As the Hub answers.", content: JSON_CONTENT, headers: { "X-Total-Count": "How many." } },
    },
  }),
  read("checkAccess", "/api/models/{repo}/auth-check", "Whether the caller may read a base"),
  read("whoAmI", "/api/whoami-v2", "Who the caller is", { access: "open", description: undefined, errors: [401] }),
];
