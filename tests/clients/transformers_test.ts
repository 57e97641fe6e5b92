/** npm's @huggingface/transformers, unmodified: config and tokenizer come from a merged revision. */
import { AutoConfig, AutoTokenizer, env } from "@huggingface/transformers";
import { assertEquals } from "@std/assert";
import { startServer, untilReady } from "../routes/server_process.ts";
import { hubFolders, REPO } from "./prepared.ts";

const folders = hubFolders();
const server = await startServer(folders);
await untilReady(server);
Deno.test.afterAll(async () => void await server.stop());

env.remoteHost = server.url;
env.allowLocalModels = false;
env.useFSCache = false;
env.useBrowserCache = false;

const BASE = `${folders.models}/${REPO}`;

for (const revision of ["main", "etherplus", "ether@0.5+etherplus"]) {
  Deno.test(`AutoConfig: ${revision}`, async () => {
    const config = await AutoConfig.from_pretrained(REPO, { revision });
    const expected = JSON.parse(await Deno.readTextFile(`${BASE}/config.json`));
    assertEquals(config.model_type, expected.model_type);
    assertEquals(
      (config as unknown as Record<string, unknown>).hidden_size,
      expected.hidden_size,
    );
  });

  Deno.test(`AutoTokenizer: ${revision} gives a text back`, async () => {
    const tokenizer = await AutoTokenizer.from_pretrained(REPO, { revision });
    const text = "def merge(base, adapter):\n    return base";
    const ids = tokenizer.encode(text);
    assertEquals(tokenizer.decode(ids, { skip_special_tokens: true }), text);
  });
}
