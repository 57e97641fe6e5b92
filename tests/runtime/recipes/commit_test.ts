import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import fc from "fast-check";
import { type CommitFacts, decodeCommit, digestPrefixOf, encodeCommit } from "../../../runtime/recipes/commit.ts";
import { mergedEtag } from "../../../runtime/recipes/etag.ts";

const digests = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => bytes.toHex());
const adapters = fc.record({ digest: digests, tenThousandths: fc.integer({ min: -999_999, max: 999_999 }) });
const facts = (maxLength: number): fc.Arbitrary<CommitFacts> =>
  fc.record({ base: digests, adapters: fc.array(adapters, { maxLength }) });

Deno.test("decodeCommit reads off a commit what encodeCommit wrote: prefixes and strengths of up to two adapters", async () => {
  await fc.assert(fc.asyncProperty(facts(4), async (drawn) => {
    const commit = await encodeCommit(drawn);
    assertMatch(commit, /^[0-9a-f]{40}$/);
    const count = drawn.adapters.length;
    const parts = drawn.adapters.map(({ digest, tenThousandths }) => {
      return { digestPrefix: digestPrefixOf(digest), tenThousandths };
    });
    const expected = count === 0 ? { kind: "base" } : count > 2 ? { kind: "table" } : { kind: "adapters", parts };
    assertEquals(decodeCommit(commit) as unknown, expected);
  }));
});

Deno.test("encodeCommit: the base, every bit of a digest, each strength and the order count", async () => {
  await fc.assert(fc.asyncProperty(facts(3), fc.nat(), async (drawn, at) => {
    const commit = await encodeCommit(drawn);
    const flip = (hex: string) => {
      const index = at % 64;
      return hex.slice(0, index) + (hex[index] === "0" ? "1" : "0") + hex.slice(index + 1);
    };
    const others: CommitFacts[] = [{ ...drawn, base: flip(drawn.base) }];
    for (const [i, adapter] of drawn.adapters.entries()) {
      others.push({ ...drawn, adapters: drawn.adapters.with(i, { ...adapter, digest: flip(adapter.digest) }) });
      const tenThousandths = adapter.tenThousandths === 0 ? 1 : -adapter.tenThousandths;
      others.push({ ...drawn, adapters: drawn.adapters.with(i, { ...adapter, tenThousandths }) });
      others.push({ ...drawn, adapters: drawn.adapters.toSpliced(i, 1) });
    }
    if (new Set(drawn.adapters.map((one) => JSON.stringify(one))).size > 1) {
      const [first, ...rest] = drawn.adapters;
      const rotated = [...rest, first!];
      if (JSON.stringify(rotated) !== JSON.stringify(drawn.adapters)) others.push({ ...drawn, adapters: rotated });
    }
    for (const other of others) assertNotEquals(await encodeCommit(other), commit);
  }));
});

Deno.test("decodeCommit takes nothing else for a commit of ours", () => {
  const rest = "0".repeat(38);
  for (const head of ["00", "01", "20", "ff", "13", "1e", "1f"]) {
    const decoded = decodeCommit(head + rest);
    if (head === "1f") assertEquals(decoded, { kind: "table" });
    else assertEquals(decoded, null, head);
  }
  for (const text of ["", "10", `10${rest}0`, `1G${rest}`, `10${rest.slice(1)}A`]) {
    assertEquals(decodeCommit(text), null);
  }
});

Deno.test("encodeCommit: these bits stay, so that nodes of two releases agree", async () => {
  const adapters = [{ digest: "abcdef".padEnd(64, "0"), tenThousandths: -1 }, {
    digest: "1".repeat(64),
    tenThousandths: 5000,
  }];
  const one = await encodeCommit({ base: "0".repeat(64), adapters: adapters.slice(0, 1) });
  // Version 1, one adapter, 24 bits of its digest, 21 bits all set, and the first three of the check.
  assertMatch(one, /^11abcdeffffff[89a-f]/);
  const both = await encodeCommit({ base: "0".repeat(64), adapters });
  assertMatch(both, /^12abcdeffffff88888[89]/);
  assertEquals(await encodeCommit({ base: "0".repeat(64), adapters: adapters.slice(0, 1) }), one);
});

Deno.test("mergedEtag: path, base file, adapters, strengths and order count", async () => {
  const a = { digest: "a".repeat(64), tenThousandths: 10_000 };
  const b = { digest: "b".repeat(64), tenThousandths: 10_000 };
  const facts = { path: "model.safetensors", identity: "c".repeat(64), adapters: [a, b] };
  const variants = [
    facts,
    { ...facts, path: "other.safetensors" },
    { ...facts, identity: "d".repeat(64) },
    { ...facts, adapters: [b, a] },
    { ...facts, adapters: [a] },
    { ...facts, adapters: [a, { ...b, tenThousandths: 9_999 }] },
  ];
  const tags = await Promise.all(variants.map(mergedEtag));
  assertEquals(new Set(tags).size, variants.length);
  for (const tag of tags) assertMatch(tag, /^eth1-[0-9a-f]{40}$/);
  assert(await mergedEtag({ ...facts }) === tags[0]);
});
