/** Status, headers and bytes of answers on a file, without a server. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { planFile, type ServedFile } from "../../../routes/files/answer_file.ts";
import { chooseRanges } from "../../../routes/files/byte_ranges.ts";
import { RequestError } from "../../../routes/problem.ts";

/** A file of counted bytes; `opened` lists the ranges that were opened. */
function file(size: number, path = "weights.safetensors") {
  const bytes = Uint8Array.from({ length: size }, (_, i) => i % 251);
  const opened: string[] = [];
  const served: ServedFile = {
    ...{ path, size, etag: "eth1-0" },
    open({ start, end }) {
      opened.push(`${start}-${end}`);
      return ReadableStream.from([bytes.slice(start, end)]);
    },
  };
  return { bytes, opened, served };
}

async function bodyOf(plan: ReturnType<typeof planFile>): Promise<Uint8Array> {
  return plan.body === null ? new Uint8Array(0) : await new Response(plan.body.open()).bytes();
}

Deno.test("planFile: a whole file", async () => {
  const { bytes, served } = file(1000);
  const plan = planFile("GET", new Headers(), served);
  assertEquals([plan.status, Object.fromEntries(plan.headers)], [200, {
    "accept-ranges": "bytes",
    "content-disposition": `inline; filename*=UTF-8''weights.safetensors; filename="weights.safetensors";`,
    "content-length": "1000",
    "content-type": "application/octet-stream",
    "etag": '"eth1-0"',
  }]);
  assertEquals(await bodyOf(plan), bytes);
});

Deno.test("planFile: HEAD is a GET without a body, and a Range does not count", () => {
  const { served, opened } = file(1000);
  const get = planFile("GET", new Headers(), served);
  const head = planFile("HEAD", new Headers({ range: "bytes=0-0" }), served);
  assertEquals([head.status, Object.fromEntries(head.headers)], [200, Object.fromEntries(get.headers)]);
  assertEquals([head.body, opened], [null, []]);
});

Deno.test("planFile: nothing is opened before the body is", async () => {
  const { served, opened } = file(1000);
  const plan = planFile("GET", new Headers({ range: "bytes=1-2,10-19" }), served);
  assertEquals(opened, []);
  const reader = plan.body!.open().getReader();
  await reader.read();
  assertEquals(opened, []);
  await reader.read();
  assertEquals(opened, ["1-3"]);
  await reader.cancel();
  assertEquals(opened, ["1-3"]);
});

Deno.test("planFile: 304 and 412 come before 416, and 304 keeps the tag", () => {
  const { served } = file(10);
  const same = planFile("GET", new Headers({ "if-none-match": '"eth1-0"', "range": "bytes=99-" }), served);
  assertEquals([same.status, same.headers.get("etag"), same.body], [304, '"eth1-0"', null]);
  const other = new Headers({ "if-match": '"x"', "range": "bytes=99-" });
  assertEquals(assertThrows(() => planFile("GET", other, served), RequestError).status, 412);
  const beyond = assertThrows(() => planFile("GET", new Headers({ range: "bytes=99-" }), served), RequestError);
  assertEquals([beyond.status, beyond.headers["content-range"]], [416, "bytes */10"]);
});

Deno.test("planFile: a Range counts only for the file that If-Range names", () => {
  const { served } = file(10);
  const status = (ifRange: string) =>
    planFile("GET", new Headers({ "range": "bytes=1-2", "if-range": ifRange }), served).status;
  assertEquals([status('"eth1-0"'), status('"x"'), status('W/"eth1-0"')], [206, 200, 200]);
});

Deno.test("planFile: an empty file", async () => {
  const { served } = file(0);
  const plan = planFile("GET", new Headers(), served);
  assertEquals([plan.status, plan.headers.get("content-length"), await bodyOf(plan)], [200, "0", new Uint8Array(0)]);
  assertEquals(plan.headers.has("content-range"), false);
});

Deno.test("planFile: a probe for the first byte of an empty file gets the whole of it, and its size", async () => {
  const { served } = file(0);
  for (const range of ["bytes=0-0", "bytes=0-", "bytes=-1", "bytes=5-9"]) {
    const plan = planFile("GET", new Headers({ range }), served);
    assertEquals([plan.status, plan.headers.get("content-length"), plan.headers.get("content-range")], [
      ...[200, "0", "bytes */0"],
    ]);
    assertEquals(await bodyOf(plan), new Uint8Array(0));
  }
});

Deno.test("planFile: bodies have the length that is said, and hold the bytes that are asked for", async () => {
  const range = fc.tuple(fc.nat(1200), fc.nat(300)).map(([start, more]) => `${start}-${start + more}`);
  await fc.assert(fc.asyncProperty(fc.array(range, { minLength: 1, maxLength: 6 }), async (ranges) => {
    const { bytes, served } = file(1000);
    const header = `bytes=${ranges.join(", ")}`;
    const choice = chooseRanges(header, 1000);
    if (choice.kind === "unsatisfiable") return;
    const plan = planFile("GET", new Headers({ range: header }), served);
    const body = await bodyOf(plan);
    assertEquals(plan.headers.get("content-length"), String(body.byteLength));
    assertEquals(plan.body!.byteLength, body.byteLength);
    if (choice.kind === "whole") return assertEquals(body, bytes);
    if (choice.parts.length === 1) {
      const { start, end } = choice.parts[0]!;
      assertEquals(plan.headers.get("content-range"), `bytes ${start}-${end - 1}/1000`);
      return assertEquals(body, bytes.slice(start, end));
    }
    const expected = choice.parts.map(({ start, end }) => ({
      range: `bytes ${start}-${end - 1}/1000`,
      bytes: bytes.slice(start, end),
    }));
    assertEquals(readMultipart(plan.headers.get("content-type")!, body), expected);
  }));
});

Deno.test("planFile: names of any letters make headers that can be sent", () => {
  fc.assert(fc.property(fc.string({ unit: "binary", minLength: 1 }), (name) => {
    const { headers } = planFile("HEAD", new Headers(), file(1, `a/${name.replaceAll("/", "")}`).served);
    assert(
      /^inline; filename\*=UTF-8''[A-Za-z0-9._~%-]*; filename="[^"\\]*";$/.test(headers.get("content-disposition")!),
    );
  }));
});

Deno.test("planFile: no type is one that a browser runs", () => {
  const types = ["a.json", "a.TXT", "a.md", "a.html", "a.svg", "a.js", "json", "a.toString"].map((path) =>
    planFile("HEAD", new Headers(), file(1, path).served).headers.get("content-type")
  );
  const [binary, text] = ["application/octet-stream", "text/plain; charset=utf-8"];
  assertEquals(types, ["application/json", text, text, binary, binary, binary, "application/json", binary]);
});

/** Reads `multipart/byteranges` by its grammar. */
function readMultipart(contentType: string, body: Uint8Array): { range: string; bytes: Uint8Array }[] {
  const boundary = /^multipart\/byteranges; boundary=([0-9a-f-]+)$/.exec(contentType)![1]!;
  const text = new TextDecoder("latin1").decode(body);
  const [before, ...sections] = `\r\n${text}`.split(`\r\n--${boundary}`);
  assertEquals([before, sections.pop()], ["", "--\r\n"]);
  let at = 0;
  return sections.map((section) => {
    const head = /^\r\nContent-Type: application\/octet-stream\r\nContent-Range: (bytes [^\r]+)\r\n\r\n/.exec(section)!;
    const start = text.indexOf(section, at) + head[0].length;
    at = start + section.length - head[0].length;
    return { range: head[1]!, bytes: body.slice(start, at) };
  });
}
