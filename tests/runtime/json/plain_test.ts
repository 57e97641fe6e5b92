import { assertEquals } from "@std/assert";
import { parseJson } from "../../../runtime/json/parse.ts";
import { toPlain } from "../../../runtime/json/plain.ts";

Deno.test("toPlain gives JSON.stringify every field, __proto__ among them", () => {
  const text = '{"__proto__":{"x":1},"list":[null,true,"s",1.5],"nested":{"__proto__":2}}';
  assertEquals(JSON.stringify(toPlain(parseJson(new TextEncoder().encode(text), "bad_config", "x"))), text);
});
