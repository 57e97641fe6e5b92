import { assertEquals } from "@std/assert";
import { RecentMap } from "../../../runtime/repositories/recent_map.ts";

Deno.test("RecentMap: what was used least recently goes first", () => {
  const map = new RecentMap<string, number>(2);
  map.set("a", 1);
  map.set("b", 2);
  map.get("a");
  map.set("c", 3);
  assertEquals(["a", "b", "c"].map((key) => map.get(key)), [1, undefined, 3]);
  map.set("a", 4);
  map.set("d", 5);
  assertEquals(["a", "c", "d"].map((key) => map.get(key)), [4, undefined, 5]);
  map.delete("a");
  map.clear();
  assertEquals(map.get("d"), undefined);
});
