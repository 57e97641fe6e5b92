import { assertEquals, assertRejects } from "@std/assert";
import { Look } from "../../../runtime/deno/look.ts";

/** Looks that are counted, and end when they are told to. */
function counted(milliseconds: number) {
  const state = { count: 0, gate: Promise.resolve() };
  const look = new Look(async () => {
    const count = ++state.count;
    await state.gate;
    return count;
  }, milliseconds);
  return { look, state };
}

Deno.test("look: what was seen is relied on", async () => {
  const { look } = counted(3_600_000);
  assertEquals([await look.get(), await look.get()], [1, 1]);
});

Deno.test("look: with no time to rely on, each looks again; who comes meanwhile shares", async () => {
  const { look } = counted(0);
  assertEquals([await look.get(), await look.get()], [1, 2]);
  assertEquals(await Promise.all([look.get(), look.get()]), [3, 3]);
});

Deno.test("look: forgotten, it is made anew, also while one lasts", async () => {
  const { look, state } = counted(3_600_000);
  const { promise, resolve } = Promise.withResolvers<void>();
  state.gate = promise;
  const first = look.get();
  look.forget();
  const second = look.get();
  resolve();
  assertEquals([await first, await second, await look.get()], [1, 2, 2]);
});

Deno.test("look: a failure is told to who asked, and tried again by who asks next", async () => {
  let count = 0;
  const look = new Look(() => count++ === 0 ? Promise.reject(new Error("disk")) : Promise.resolve(count), 3_600_000);
  await assertRejects(() => look.get(), Error, "disk");
  assertEquals(await look.get(), 2);
});
