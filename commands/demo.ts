/** `demo`: the real merge on the shipped model, and what it does to text that neither base nor adapter was trained on. */
import { fileURLToPath } from "node:url";
import { loadCheckpoint } from "../fixtures/checkpoint.ts";
import { meanLoss, readHeldout } from "../fixtures/loss.ts";
import { Console } from "./console.ts";
import { serveRange } from "./demo_range.ts";
import { merge } from "./merge.ts";
import { resolvePath } from "./paths.ts";
import type { CommandContext, CommonFlags } from "./run_command.ts";
import { verify } from "./verify.ts";

/** Flags of `demo`. */
export interface DemoFlags extends CommonFlags {
  readonly output?: string | undefined;
}

/** Windows of 96 tokens that are read with each model. */
const WINDOW_COUNT = 8;

/** Keeps the documents of the commands inside, which with `--json` become part of one. */
class Documents extends Console {
  readonly texts: string[] = [];

  override result(text: string): void {
    this.texts.push(text);
  }
}

/** Merges, verifies, measures the loss before and after, and serves a range of the same without merging. */
export async function demo({ output, ...flags }: DemoFlags, context: CommandContext): Promise<void> {
  const { console } = context;
  const documents = new Documents({ quiet: flags.quiet === true, verbose: flags.verbose === true });
  const inner = context.json ? { ...context, console: documents } : context;
  const llama = fileURLToPath(new URL("../fixtures/llama", import.meta.url));
  const base = `${llama}/base`;
  const temporary = output === undefined ? await Deno.makeTempDir({ prefix: "ether-edge-" }) : null;
  const merged = output === undefined ? `${temporary}/merged` : resolvePath(output, "--output");
  try {
    console.note("a small Llama, trained on documentation, and an ETHER+ adapter, trained on Python:");
    console.note(`$ deno task merge --base fixtures/llama/base --adapter fixtures/llama/etherplus --output ${merged}`);
    await merge({
      ...{ ...flags, base, adapter: [`${llama}/etherplus`], output: merged },
      dtype: "keep",
    }, inner);
    await verify(merged, flags, inner);

    const tokens = await readHeldout("code");
    const before = meanLoss(await loadCheckpoint(base), tokens, { windowCount: WINDOW_COUNT });
    context.signal.throwIfAborted();
    const after = meanLoss(await loadCheckpoint(merged), tokens, { windowCount: WINDOW_COUNT });
    const range = await serveRange(llama, merged, context.signal);
    if (context.json) {
      const [mergeDocument, verifyDocument] = documents.texts.map((text) => JSON.parse(text));
      const document = { merge: mergeDocument, verify: verifyDocument, loss: { before, after }, range };
      return console.result(JSON.stringify(document));
    }
    console.result(`loss on unseen Python, nats a token: ${before.toFixed(3)} before, ${after.toFixed(3)} after`);
    console.note("the same from a server, which computes what is asked for and stores nothing:");
    console.note("$ deno task serve --models fixtures/llama/base --adapters fixtures/llama");
    const took = `${range.milliseconds.toFixed(0)} ms`;
    console.result(`GET ${range.path}, bytes ${range.start} to ${range.end - 1}: the merged file's, in ${took}`);
    console.note("");
    console.note("next, with a model and an adapter of your own:");
    console.note("$ deno task inspect path/to/adapter --base path/to/model");
    console.note("$ deno task merge --base path/to/model --adapter path/to/adapter --output path/to/merged");
    console.note("$ deno task serve --models path/to/models --adapters path/to/adapters");
    console.note("deno comes with `npm install -g deno@2.9.6`; without it, begin with `npx -y deno@2.9.6 task`");
  } finally {
    if (temporary !== null) await Deno.remove(temporary, { recursive: true });
  }
}
