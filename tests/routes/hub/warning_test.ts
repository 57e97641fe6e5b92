import { assertEquals, assertMatch } from "@std/assert";
import { createApp } from "../../../routes/app.ts";
import { LLAMA } from "../../fixtures/merge_fixture.ts";
import { ask, copyFolder, hubFolders, openRepositories, REPO } from "./small_hub.ts";

Deno.test("warnings: what a recipe warns of goes with its files, as the Hub's clients print it", async () => {
  const folders = hubFolders();
  const odd = `${folders.adapters}/odd`;
  copyFolder(`${LLAMA}/ether`, odd);
  const config = JSON.parse(Deno.readTextFileSync(`${odd}/adapter_config.json`));
  // A construct of patterns that the linear-time engine does not know: it cannot be checked, and is no error.
  const pattern = "(?=.*nößuch).*";
  Deno.writeTextFileSync(`${odd}/adapter_config.json`, JSON.stringify({ ...config, target_modules: pattern }));
  const repositories = await openRepositories(folders);
  const get = ask(createApp({ repositories }));
  const warningOf = async (revision: string, method: string) => {
    const { sha } = await (await get(`/api/models/${REPO}/revision/${revision}`)).json();
    const response = await get(`/${REPO}/resolve/${sha}/config.json`, { method });
    await response.body?.cancel();
    return [response.status, response.headers.get("x-hf-warning")];
  };
  for (const method of ["GET", "HEAD"]) {
    const [status, warning] = await warningOf("odd", method);
    assertEquals(status, 200);
    assertMatch(String(warning), /^Recipe; [\x20-\x7e]*n\\u00f6\\u00dfuch/);
    assertEquals(await warningOf("etherplus", method), [200, null]);
  }
  await repositories.close();
});
