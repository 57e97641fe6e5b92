import { assert, assertEquals, assertThrows } from "@std/assert";
import { EtherError } from "../../../runtime/error.ts";
import { HostRules } from "../../../runtime/remote/host_rules.ts";
import { parseContentRange } from "../../../runtime/remote/content_range.ts";
import { strongEtag } from "../../../runtime/remote/pin.ts";
import { isReference, parseReference } from "../../../runtime/remote/reference.ts";
import { parseRetryAfter } from "../../../runtime/remote/retry.ts";

Deno.test("reference: hf:// names a repository and a revision", () => {
  const hub = (text: string) => {
    const reference = parseReference(text);
    assert(reference.kind === "hub");
    return [reference.repo, reference.revision];
  };
  assertEquals(hub("hf://owner/repo"), ["owner/repo", "main"]);
  assertEquals(hub("hf://gpt2"), ["gpt2", "main"]);
  assertEquals(hub("HF://owner/repo/@v1.0"), ["owner/repo", "v1.0"]);
  assertEquals(hub("hf://owner/repo@refs/pr/3"), ["owner/repo", "refs/pr/3"]);
  assertEquals(hub("hf://owner/repo@poet@0.5+brief"), ["owner/repo", "poet@0.5+brief"]);
});

for (
  const text of [
    ...[
      "hf://",
      "hf://a/b/c",
      "hf://a//b",
      "hf://../b",
      "hf://a/..",
      "hf://a/.b",
      "hf://-a/b",
      "hf://a/b--c",
      "hf://a/b.git",
    ],
    ...[
      "hf://a/b c",
      "hf://a/b%2fc",
      "hf://a/b@",
      "hf://a/b@x y",
      "hf://a/b@../x",
      "hf://a/b@x//y",
      "hf://a/b@x\ny",
      "hf://a/b?x",
    ],
    ...[
      `hf://a/${"b".repeat(97)}`,
      `hf://a/b@${"c".repeat(256)}`,
      "https://",
      "https://u@h/x",
      "https://h/x?y",
      "https://h/x#y",
    ],
    ...["https://h/%2f.safetensors", "https://h/%zz.safetensors"],
  ]
) {
  Deno.test(`reference: ${JSON.stringify(text.slice(0, 40))} is wrong usage`, () => {
    assert(isReference(text));
    const error = assertThrows(() => parseReference(text, "--base"), EtherError);
    assertEquals([error.code, error.field], ["usage", "--base"]);
  });
}

Deno.test("reference: a URL is a folder, or a .safetensors file in one", () => {
  const web = (text: string) => {
    const reference = parseReference(text);
    assert(reference.kind === "web");
    return [reference.folder.href, reference.file];
  };
  assertEquals(web("https://h/a/b"), ["https://h/a/b/", null]);
  assertEquals(web("https://h"), ["https://h/", null]);
  assertEquals(web("https://h/a/../b/x%20y.safetensors"), ["https://h/b/", "x y.safetensors"]);
});

Deno.test("host rules: a host is reached as it was named, and by nothing else", () => {
  const rules = new HostRules({
    hosts: ["a.org", "b.org:8443", "*.c.org", "http://10.1.2.3:8000", "[::1]:9000", "localhost"],
    endpoint: "http://hub.lan:80/prefix",
  });
  const allowed = [
    "https://a.org/x",
    "https://b.org:8443/",
    "https://x.y.c.org/",
    "http://10.1.2.3:8000/",
    "https://[::1]:9000/",
    "http://hub.lan/",
  ];
  for (const url of allowed) rules.check(new URL(url), false);
  const refused = [
    ...[
      "http://a.org/",
      "https://a.org:444/",
      "https://xa.org/",
      "https://a.org.evil.org/",
      "https://b.org/",
      "https://c.org/",
    ],
    ...[
      "https://evilc.org/",
      "https://x.c.org:8443/",
      "http://10.1.2.3/",
      "https://10.1.2.3:8000/",
      "https://hub.lan/",
      "ftp://a.org/",
    ],
    ...["https://u@a.org/"],
  ];
  for (const url of refused) {
    for (const redirected of [false, true]) {
      assertEquals(assertThrows(() => rules.check(new URL(url), redirected), EtherError).code, "host_refused", url);
    }
  }
  const privates = ["https://a.org/", "https://x.c.org/", "https://b.org:8443/"].map((url) =>
    rules.allowsPrivate(new URL(url))
  );
  assertEquals(privates, [false, false, false], "a name is no address");
  for (const url of ["http://10.1.2.3:8000/", "https://[::1]:9000/", "https://localhost/", "http://hub.lan/"]) {
    assertEquals(rules.allowsPrivate(new URL(url)), true, url);
  }
  for (const host of ["", "a/b", "https://a.org/x", "a b", "u@a.org", "ftp://a.org", "a.org:99999", "*"]) {
    assertEquals(assertThrows(() => new HostRules({ hosts: [host] }), EtherError).code, "usage", host);
  }
});

Deno.test("host rules: by default nothing is reached", () => {
  assertThrows(() => new HostRules({}).check(new URL("https://huggingface.co/"), false), EtherError);
});

Deno.test("headers: Content-Range, ETag and Retry-After are read strictly", () => {
  assertEquals(parseContentRange("bytes 5-9/10"), { start: 5, end: 10, size: 10 });
  for (
    const text of [
      null,
      "bytes 5-9/*",
      "bytes 9-5/10",
      "bytes 5-10/10",
      "bytes */10",
      "bytes 5-9/9007199254740993",
      "items 0-1/2",
    ]
  ) {
    assertEquals(parseContentRange(text), null, String(text));
  }
  assertEquals(strongEtag('"a/b+c="'), '"a/b+c="');
  for (const text of [null, 'W/"a"', "a", '"a"b"', '"a b"', `"${"a".repeat(300)}"`]) {
    assertEquals(strongEtag(text), null);
  }
  const now = Date.parse("2026-01-01T00:00:00Z");
  assertEquals(
    ["7", "Thu, 01 Jan 2026 00:00:09 GMT", "Wed, 31 Dec 2025 23:00:00 GMT", "soon", "-1", null].map((text) =>
      parseRetryAfter(text, now)
    ),
    [7, 9, 0, null, null, null],
  );
});
