import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { problemCode, testApp, WRITE_TOKEN } from "./test_app.ts";

const SEGMENTS = [
  ...["models", "adapters", "merges", "apply", "ether", "files", "adapter_config.json", "", ".", "..", "%2e%2e", "%2f"],
  ...[
    "%00",
    "%",
    "%zz",
    "%ff",
    "*",
    ":id",
    "{id}",
    "ether@1",
    "a+b",
    "__proto__",
    "constructor",
    "\\",
    "é",
    "\u{1f600}",
  ],
];
const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"];
const TYPES = [
  ...[
    "application/json",
    "multipart/form-data; boundary=x",
    "multipart/form-data; boundary=",
    "application/octet-stream",
  ],
  ...["", "a", "text/plain; charset=nonsense", "application/json; ;;="],
];
const HEADERS = [
  "range",
  "if-match",
  "if-none-match",
  "if-range",
  "authorization",
  "content-length",
  "x-request-id",
  "origin",
];
const VALUES = [
  ...[
    "",
    "*",
    "bytes=0-",
    "bytes=-1",
    "bytes=9-1",
    "bytes=a",
    '"x"',
    'W/"x"',
    "Bearer",
    "Bearer hf_x",
    "-1",
    "1e9",
    "5",
  ],
  ...["%00", "x".repeat(5000), "Basic Og=="],
];
const BODIES = [
  ...["", "{", "null", "[]", "{}", '{"base":"tiny"}', '{"base":"tiny","adapters":[]}', '{"source":"hf://a/b"}'],
  ...[
    '{"base":{"__proto__":1},"adapters":1}',
    "[".repeat(100_000),
    '{"adapters":[{"id":"ether","strength":-0}],"base":"tiny"}',
  ],
  ...["--x\r\n\r\n\r\n--x--", '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n', "\u0000\u0001"],
];

Deno.test("v1: whatever is asked is answered, and never with the server's own mistake", async () => {
  await using test = await testApp({ tokens: { writeToken: WRITE_TOKEN } });
  const query = fc.constantFrom(
    "",
    "?base=tiny",
    "?base=tiny&op=in&adapters=ether",
    "?base=..&base=",
    "?%zz=%",
    "?op=linear&base=tiny",
  );
  const path = fc.tuple(fc.array(fc.constantFrom(...SEGMENTS), { maxLength: 4 }), query).map(([segments, query]) => {
    return `/v1/${segments.join("/")}${query}`;
  });
  const request = fc.record({
    ...{ path, method: fc.constantFrom(...METHODS), type: fc.constantFrom(...TYPES) },
    headers: fc.dictionary(fc.constantFrom(...HEADERS), fc.constantFrom(...VALUES), { maxKeys: 3 }),
    body: fc.oneof(fc.constantFrom(...BODIES), fc.uint8Array({ maxLength: 40 })),
    writer: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(request, async ({ path, method, type, headers, body, writer }) => {
      const all = { ...headers, "content-type": type, ...writer ? { authorization: `Bearer ${WRITE_TOKEN}` } : {} };
      const sent = ["GET", "HEAD"].includes(method) ? null : typeof body === "string" ? body : new Uint8Array(body);
      const response = await test.ask(path, { method, headers: all, body: sent });
      assert(response.status < 500, `${response.status} ${await response.clone().text()}`);
      if (response.status >= 400 && method !== "HEAD") assert(await problemCode(response) !== undefined);
      else await response.body?.cancel();
      assertEquals(test.routes.budget.usedBytes, 0);
      assert(response.headers.get("x-request-id") !== null);
    }),
    { numRuns: 1500 },
  );
  assertEquals([...test.adapters.adapters.keys()].filter((id) => !/^[A-Za-z0-9][\w.-]*$/.test(id)), []);
});

Deno.test("v1: the same over a socket, where a body has a length and paths come as they were sent", async () => {
  await using test = await testApp({ tokens: { writeToken: WRITE_TOKEN } });
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, test.app.fetch);
  try {
    const ask = async (head: string, body = "") => {
      using socket = await Deno.connect({ hostname: "127.0.0.1", port: server.addr.port });
      await socket.write(new TextEncoder().encode(`${head}\r\nhost: h\r\nconnection: close\r\n\r\n${body}`));
      // The head comes first; of a body that is refused unread, Deno waits for the rest.
      const buffer = new Uint8Array(4096);
      return new TextDecoder().decode(buffer.subarray(0, await socket.read(buffer) ?? 0));
    };
    const cases: [string, string, number][] = [
      ["GET /v1/adapters/../../etc/passwd HTTP/1.1", "", 404],
      ["GET /v1/adapters/ether/files/..%2f..%2fetc HTTP/1.1", "", 404],
      ["GET /v1/adapters/ether/files/adapter_config.json HTTP/1.1\r\nrange: bytes=0-9", "", 206],
      ["HEAD /v1/adapters/ether/files/adapter_config.json HTTP/1.1", "", 200],
      [
        "POST /v1/merges HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 30",
        '{"base":"tiny","adapters":[] }',
        200,
      ],
      ["POST /v1/merges HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 999999999", "{}", 413],
      [
        `PUT /v1/adapters/x?base=tiny HTTP/1.1\r\ncontent-type: text/plain\r\nauthorization: Bearer ${WRITE_TOKEN}\r\ncontent-length: 1`,
        ...["x", 415] as const,
      ],
    ];
    for (const [head, body, status] of cases) {
      const answer = await ask(head, body);
      assertEquals(answer.slice(0, 12), `HTTP/1.1 ${status}`, `${head}\n${answer}`);
    }
    // A body that is cut off is the client's mistake, and nobody reads the answer.
    using socket = await Deno.connect({ hostname: "127.0.0.1", port: server.addr.port });
    await socket.write(
      new TextEncoder().encode(
        "POST /v1/merges HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{",
      ),
    );
    await socket.closeWrite();
    socket.close();
    while (test.routes.budget.usedBytes > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  } finally {
    await server.shutdown();
  }
  assertEquals(test.lines.filter(({ level }) => level === "error"), []);
});
