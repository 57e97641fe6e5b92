import { assertEquals } from "@std/assert";
import { problemOf, problemResponse, RequestError, STATUS_OF_CODE, statusOf } from "../../routes/problem.ts";
import { ERROR_CODES, type ErrorCode, EtherError } from "../../runtime/error.ts";
import { ProblemDocument } from "../../routes/v1/schemas.ts";

Deno.test("problem: every code has a status, a title, and a document that is as described", () => {
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    const error = new EtherError(code, "what", { file: "f", tensor: "t", field: "x", hint: "do" });
    const problem = problemOf(error, "id-1");
    assertEquals(problem.status, STATUS_OF_CODE[code]);
    assertEquals(ProblemDocument.safeParse(problem).success, true);
    assertEquals(problem.title === "Error", false, code);
    assertEquals([problem.code, problem.request_id], [code, "id-1"]);
  }
});

Deno.test("problem: what names lines is there, on one line, and nothing else", () => {
  const error = new EtherError("unknown_target", "no\nsuch \u202etensor", { tensor: "a\rb", hint: undefined });
  assertEquals(problemOf(error), {
    ...{ type: "about:blank", title: "Unprocessable Content", status: 422, code: "unknown_target" },
    ...{ detail: "no\\u000asuch \\u202etensor", tensor: "a\\u000db" },
  });
});

Deno.test("problem: what the server's own trouble is stays in its log", () => {
  const secret = "/srv/models/secret";
  for (const error of [new EtherError("io_error", secret, { file: secret }), new TypeError(secret), secret, null]) {
    const text = JSON.stringify(problemOf(error));
    assertEquals([text.includes(secret), statusOf(error)], [false, 500]);
  }
});

Deno.test("problem: headers go with the status", async () => {
  const unauthorized = problemResponse(new EtherError("unauthorized", "x"));
  assertEquals(unauthorized.headers.get("www-authenticate"), "Bearer");
  const busy = problemResponse(new EtherError("busy", "x"));
  assertEquals([busy.status, busy.headers.get("retry-after")], [503, "1"]);
  const other = problemResponse(new RequestError(405, "usage", "x", { headers: { allow: "GET, HEAD" } }));
  assertEquals([other.status, other.headers.get("allow")], [405, "GET, HEAD"]);
  assertEquals(other.headers.get("content-type"), "application/problem+json");
  assertEquals((await other.json()).title, "Method Not Allowed");
});
