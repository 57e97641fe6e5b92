/** Adapters on activations, shared by those who ask. */
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { EtherError } from "../../../runtime/error.ts";
import { prepareApply } from "../../../runtime/apply/prepare_apply.ts";
import { parseRecipe } from "../../../runtime/recipes/recipe.ts";
import { Repositories } from "../../../runtime/repositories/repositories.ts";
import { adapterFiles } from "./made_adapter.ts";
import { llamaStores } from "./memory_stores.ts";
import { MemoryStorage } from "../execute/memory_storage.ts";
import { llamaFiles } from "./memory_stores.ts";

const MODULE = "model.layers.0.mlp.down_proj";

async function open(applies = 8, adapterBytes = 1 << 20) {
  const { models, adapters } = llamaStores();
  const limits = { applies, adapterBytes };
  const repositories = new Repositories({ models, adapters, storage: models.storage, limits });
  await repositories.start();
  return { models, adapters, repositories, base: (await repositories.base("llama"))! };
}

Deno.test("apply gives what prepareApply gives, one preparation for all who ask", async () => {
  const { repositories, base } = await open();
  const storage = new MemoryStorage();
  for (const [name, folder] of [["base", "base"], ["poet", "etherplus"], ["brief", "ether"]] as const) {
    for (const [path, bytes] of llamaFiles(folder)) storage.set(`${name}/${path}`, bytes);
  }
  const adapters = [{ place: storage.place("poet"), strength: 0.5 }, { place: storage.place("brief") }];
  await using expected = await prepareApply({ base: storage.place("base"), adapters }, storage);
  const recipe = parseRecipe("poet@0.5+brief");
  const lease = (await repositories.apply(base, recipe))!;
  const other = (await repositories.apply(base, parseRecipe("poet@0.50+brief")))!;
  assertStrictEquals(lease.value, other.value);
  const { in: inCount } = lease.value.dimensions(MODULE);
  const x = Float32Array.from({ length: 3 * inCount! }, (_, i) => (i * 37 % 29 - 14) / 16);
  for (const options of [{}, { rows: [0, -1, 1] }]) {
    for (const op of ["in", "out", "linear"] as const) {
      const input = op === "out" ? x.slice(0, 3 * lease.value.dimensions(MODULE).out!) : x;
      const got = await lease.value[op](MODULE, input, options).catch((error) => (error as EtherError).code);
      assertEquals(got, await expected[op](MODULE, input, options).catch((error) => (error as EtherError).code), op);
    }
  }
  lease.release();
  other.release();
  await repositories.close();
});

Deno.test("an adapter that is replaced is prepared anew; who has the old one goes on", async () => {
  const { repositories, base, adapters, models } = await open(8, 0);
  const recipe = parseRecipe("poet");
  const old = (await repositories.apply(base, recipe))!;
  adapters.set("poet", llamaFiles("ether"));
  const fresh = (await repositories.apply(base, recipe))!;
  await repositories.adapter("brief");
  assert(old.value !== fresh.value);
  const x = new Float32Array(old.value.dimensions(MODULE).in!).fill(1);
  await old.value.linear(MODULE, x);
  await fresh.value.linear(MODULE, x);
  old.release();
  fresh.release();
  assert(models.openCount > 0);
  await repositories.close();
  await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals(models.openCount, 0);
});

Deno.test("prepared adapters beyond the limit are closed as soon as nobody has them", async () => {
  const { repositories, base, models } = await open(1);
  const first = (await repositories.apply(base, parseRecipe("poet")))!;
  const x = new Float32Array(first.value.dimensions(MODULE).in!).fill(1);
  await first.value.linear(MODULE, x);
  const second = (await repositories.apply(base, parseRecipe("brief")))!;
  await second.value.linear(MODULE, x);
  assertEquals(models.openCount, 2);
  await first.value.linear(MODULE, x);
  first.release();
  first.release();
  await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals(models.openCount, 1);
  assertEquals((await assertRejects(() => first.value.in(MODULE, x), EtherError)).code, "usage");
  await second.value.linear(MODULE, x);
  second.release();
  await repositories.close();
});

Deno.test("what does not fit is refused, what is not there is null, and nothing of it stays", async () => {
  const { repositories, base, adapters } = await open();
  adapters.set("stranger", adapterFiles());
  for (let i = 0; i < 2; i++) {
    const error = await assertRejects(() => repositories.apply(base, parseRecipe("stranger")), EtherError);
    assertEquals(error.code, "bad_blocks");
  }
  assertEquals(await repositories.apply(base, parseRecipe("nobody")), null);
  const none = (await repositories.apply(base, []))!;
  const x = new Float32Array(none.value.dimensions(MODULE).in!).fill(1);
  assertEquals(await none.value.in(MODULE, x), x);
  none.release();
  await repositories.close();
});
