import { assertEquals, assertRejects } from "@std/assert";
import { Turns } from "../../../routes/v1/turns.ts";

Deno.test("turns: work under one key runs in order, one at a time; under others at once", async () => {
  const turns = new Turns();
  const log: string[] = [];
  const first = Promise.withResolvers<void>();
  const work = (name: string, wait?: Promise<void>) => async () => {
    log.push(`${name} begins`);
    await wait;
    log.push(`${name} ends`);
  };
  const all = [
    turns.take("a", work("a1", first.promise)),
    turns.take("a", work("a2")),
    turns.take("b", work("b1")),
  ];
  await all[2];
  assertEquals(log, ["a1 begins", "b1 begins", "b1 ends"]);
  first.resolve();
  await Promise.all(all);
  assertEquals(log.slice(3), ["a1 ends", "a2 begins", "a2 ends"]);
});

Deno.test("turns: what fails ends its turn", async () => {
  const turns = new Turns();
  const failed = turns.take("a", () => Promise.reject(new Error("no")));
  const next = turns.take("a", () => Promise.resolve(1));
  await assertRejects(() => failed, Error, "no");
  assertEquals(await next, 1);
});
