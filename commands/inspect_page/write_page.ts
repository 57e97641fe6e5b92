/** `inspect --html`: what was measured as one page that needs nothing else, neither network nor server. */
import type { TensorAnalysis } from "../../runtime/analysis/analyse_plan.ts";
import type { ComparedCounts } from "../../runtime/analysis/compared_counts.ts";
import { ioError } from "../../runtime/deno/io_error.ts";
import { EtherError } from "../../runtime/error.ts";
import { renderPage } from "./render_page.ts";

/** What a page shows. */
export interface PageContent extends ComparedCounts {
  readonly path: string;
  readonly base: string;
  readonly parameters: number;
  readonly analyses: readonly TensorAnalysis[];
}

/** How every page begins: only what does is written over. */
export const PAGE_START = '<!doctype html>\n<html lang="en">\n<meta name="generator" content="ether-edge inspect">\n';

/**
 * Before anything is measured, which may take minutes.
 *
 * @throws {EtherError} `exists` where something else is there; `not_found` where its folder is not
 */
export async function checkPagePath(path: string, name: string): Promise<void> {
  const start = new Uint8Array(PAGE_START.length);
  try {
    using file = await Deno.open(path);
    await file.read(start);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw ioError(error, name);
    const folder = path.replace(/[^/]*$/, "");
    await Deno.stat(folder).catch((absent) => {
      throw ioError(absent, folder);
    });
    return;
  }
  if (new TextDecoder().decode(start) === PAGE_START) return;
  const hint = "name another file; only a page of inspect is written over";
  throw new EtherError("exists", "is there already", { file: name, field: "--html", hint });
}

/** Renders a page and writes it. @throws {EtherError} `io_error`, `no_space` */
export async function writePage(path: string, name: string, content: PageContent): Promise<void> {
  // The plotting library is loaded here alone, as text: it runs in the page.
  const [script, style, uplotScript, uplotStyle] = await Promise.all([
    import("./draw.js", { with: { type: "text" } }),
    import("./page.css", { with: { type: "text" } }),
    import("uplot/dist/uPlot.iife.min.js", { with: { type: "text" } }),
    import("uplot/dist/uPlot.min.css", { with: { type: "text" } }),
  ]);
  const page = PAGE_START + renderPage(content, {
    scripts: [uplotScript.default, script.default],
    styles: [uplotStyle.default, style.default],
  });
  try {
    await Deno.writeTextFile(path, page);
  } catch (error) {
    throw ioError(error, name);
  }
}
