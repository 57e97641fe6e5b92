/** What a URL of the Hub means, read off its raw segments. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { decodeFilePath, rawSegments } from "../../../routes/hub/raw_path.ts";
import { readHubUrl } from "../../../routes/hub/target.ts";
import { RequestError } from "../../../routes/problem.ts";
import { isRepositoryId } from "../../../runtime/repositories/repository_id.ts";

const read = (path: string) => readHubUrl(rawSegments(`http://host${path}`, 0));

const file = (revision: string, path: string, action = "resolve") => ({ kind: "file", action, revision, path });
const one = (repository: string, target: unknown) => ({ kind: "repository", readings: [{ repository, target }] });

const CASES: readonly [path: string, expected: unknown][] = [
  ["/a/b/resolve/main/f", one("a/b", file("main", "f"))],
  ["/a/resolve/main/f", one("a", file("main", "f"))],
  ["/a/b/raw/main/f", one("a/b", file("main", "f", "raw"))],
  ["/a/b/resolve/main/f?download=true#x", one("a/b", file("main", "f"))],
  ["/a/b/resolve/x%2By@0.5/sub%20dir/%C3%A9.txt", one("a/b", file("x+y@0.5", "sub dir/é.txt"))],
  ["/a/b/resolve/x+y/f", one("a/b", file("x+y", "f"))],
  ["/a/b/resolve/refs%2Fpr%2F1/f", one("a/b", file("refs/pr/1", "f"))],
  ["/a/b/resolve/main/x%252e", one("a/b", file("main", "x%2e"))],
  ["/a/b/resolve/main/x%2fy", one("a/b", file("main", "x/y"))],
  ["/a/b/resolve/main", null],
  ["/a/b/resolve/main/", null],
  ["/a/b/tree/main", null],
  ["/a/b", null],
  ["/", null],
  ["", null],
  ["/api/models/a", one("a", { kind: "model" })],
  ["/api/models/a/b/revision/r", one("a/b", { kind: "revision", revision: "r" })],
  ["/api/models/a/b/tree/r", one("a/b", { kind: "tree", revision: "r", path: "" })],
  ["/api/models/a/b/tree/r/", one("a/b", { kind: "tree", revision: "r", path: "" })],
  ["/api/models/a/b/tree/r/x/y/", one("a/b", { kind: "tree", revision: "r", path: "x/y" })],
  ["/api/models/a/b/tree/r/x%2Fy", one("a/b", { kind: "tree", revision: "r", path: "x/y" })],
  ["/api/models/a/b/paths-info/r", one("a/b", { kind: "paths-info", revision: "r" })],
  ["/api/models/a/b/commits/r", one("a/b", { kind: "commits", revision: "r" })],
  ["/api/models/a/b/refs", one("a/b", { kind: "refs" })],
  ["/api/models/a/b/auth-check", one("a/b", { kind: "auth-check" })],
  ["/api/models/a/b/revision/r/more", null],
  ["/api/models/a/b/other/r", null],
  ["/api/models", null],
  ["/api/models/a/b/refs/x", null],
  ["/api/whoami-v2", { kind: "whoami" }],
  ["/api/agent-harnesses", { kind: "agent-harnesses" }],
  ["/api/other", null],
  ["/api/datasets/a/b", { kind: "unknown-repository", target: "model" }],
  ["/datasets/a/b/resolve/main/f", { kind: "unknown-repository", target: "file" }],
  ["/spaces/a/resolve/main/f", { kind: "unknown-repository", target: "file" }],
  ["/a--b/c/resolve/main/f", { kind: "unknown-repository", target: "file" }],
  ["/a%2Fb/resolve/main/f", { kind: "unknown-repository", target: "file" }],
  // A repository's name or a revision: the one that exists decides.
  ["/api/models/a/refs", {
    kind: "repository",
    readings: [{ repository: "a/refs", target: { kind: "model" } }, { repository: "a", target: { kind: "refs" } }],
  }],
  ["/a/resolve/resolve/main/f", {
    kind: "repository",
    readings: [
      { repository: "a/resolve", target: file("main", "f") },
      { repository: "a", target: file("resolve", "main/f") },
    ],
  }],
];

for (const [path, expected] of CASES) {
  Deno.test(`readHubUrl: ${path}`, () => assertEquals(read(path) as unknown, expected));
}

const REFUSED = [
  ...["/a/b/resolve/main/../f", "/a/b/resolve/main/%2e%2e/f", "/a/b/resolve/main/..%2Ff", "/a/b/resolve/main/./f"],
  ...[
    "/a/b/resolve/main/x//f",
    "/a/b/resolve/main//f",
    "/a/b/resolve/main/f/",
    "/a/b/resolve/main/%00",
    "/a/b/resolve/%zz/f",
  ],
  ...["/a/b/resolve/main/a%5Cb", "/a/b/resolve/main/a\\b", "/a/b/resolve/main/%ff", "/a/b/resolve/a%00b/f"],
  ...["/api/models/a/b/tree/main/..", "/api/models/a/b/tree/main/%2e%2e%2fx", "/api/models/a/b/revision/%E9"],
];

for (const path of REFUSED) {
  Deno.test(`readHubUrl: ${path} is refused`, () => {
    assertEquals(assertThrows(() => read(path), RequestError).status, 400);
  });
}

Deno.test("readHubUrl: whatever is written, a repository has a name and a path stays within it", () => {
  const piece = fc.oneof(
    fc.constantFrom(
      "api",
      "models",
      "resolve",
      "raw",
      "tree",
      "revision",
      "refs",
      "..",
      ".",
      "",
      "%2e%2e",
      "%2F",
      "%00",
    ),
    fc.string({ unit: "binary" }),
    fc.stringMatching(/^[a-c.%2Ff-]{0,8}$/),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 9 }), (pieces) => {
      let url;
      try {
        url = readHubUrl(pieces);
      } catch (error) {
        assert(error instanceof RequestError && error.status === 400, String(error));
        return;
      }
      if (url?.kind !== "repository") return;
      for (const { repository, target } of url.readings) {
        assert(isRepositoryId(repository));
        if (!("path" in target) || (target.kind === "tree" && target.path === "")) continue;
        for (const part of target.path.split("/")) assert(!["", ".", ".."].includes(part) && !/[\0\\]/.test(part));
      }
    }),
    { numRuns: 2000 },
  );
});

Deno.test("decodeFilePath: what a client encodes comes back, once", () => {
  const part = fc.string({ unit: "grapheme", minLength: 1 }).filter((text) => !/[\0\\/]|^\.\.?$/.test(text));
  fc.assert(fc.property(fc.array(part, { minLength: 1 }), (parts) => {
    assertEquals(decodeFilePath(parts.map(encodeURIComponent)), parts.join("/"));
  }));
});

Deno.test("rawSegments: the path alone, and only what lies below the app", () => {
  assertEquals(rawSegments("http://u@[::1]:80/x/y/a%2Fb?c=/d", 2), ["a%2Fb"]);
  assertEquals(rawSegments("http://host", 0), []);
  assertEquals(rawSegments("http://host?x", 0), []);
});
