import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ByteBudget, type Reservation } from "../../../routes/access/budget.ts";
import { EtherError } from "../../../runtime/error.ts";

Deno.test("budget: what is held is never above the limit, and all of it comes back", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("reserve" as const), byteLength: fc.nat(150) }),
    fc.record({ kind: fc.constant("grow" as const), index: fc.nat(20), byteLength: fc.nat(150) }),
    fc.record({ kind: fc.constant("release" as const), index: fc.nat(20) }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const budget = new ByteBudget(100);
    const held: Reservation[] = [];
    let refused = 0;
    for (const one of steps) {
      const chosen = one.kind === "reserve" ? undefined : held[one.index % Math.max(1, held.length)];
      try {
        if (one.kind === "reserve") held.push(budget.reserve(one.byteLength));
        else if (one.kind === "grow") chosen?.grow(one.byteLength);
        // Released ones stay in the list: a second time must do nothing.
        else chosen?.release();
      } catch (error) {
        assertEquals((error as EtherError).code, "busy");
        refused++;
      }
      assertEquals(budget.usedBytes, held.reduce((sum, { byteLength }) => sum + byteLength, 0));
      assertEquals(budget.usedBytes <= 100, true);
    }
    assertEquals(budget.refusedCount, refused);
    for (const one of held) one.release();
    assertEquals(budget.usedBytes, 0);
  }));
});

Deno.test("budget: a request that is larger than all of it is let in alone", () => {
  const budget = new ByteBudget(100);
  const alone = budget.reserve(1000);
  assertEquals(budget.usedBytes, 100);
  assertThrows(() => budget.reserve(1), EtherError, "no room");
  alone.grow(50);
  assertEquals(budget.usedBytes, 100);
  alone.release();
  budget.reserve(1);
  assertThrows(() => budget.reserve(1000), EtherError, "no room");
});

Deno.test("budget: a stream holds one piece, or itself where it is shorter", () => {
  const budget = new ByteBudget();
  assertEquals(budget.reserveStream(10).byteLength, 10);
  assertEquals(budget.reserveStream(1e12).byteLength, 1 << 20);
  assertEquals(budget.reserveStream(1e12, 8 << 20).byteLength, 8 << 20);
  assertEquals(budget.reserveStream(10, 8 << 20).byteLength, 10);
});

Deno.test("budget: a limit that is no number of bytes is refused", () => {
  for (const limit of [0, -1, 1.5, NaN, Infinity]) assertThrows(() => new ByteBudget(limit), EtherError, "positive");
});
