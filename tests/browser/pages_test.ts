/** The pages as people see them, in Chromium; skipped where there is none. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Chromium, findChromium, type Page } from "./chromium.ts";
import { type ServedPages, type ServeOptions, servePages } from "./served_pages.ts";

const executable = await findChromium();
if (executable === null) console.log("skipped: the pages' tests need Chromium (CHROMIUM names one)");

const DRAWN = `document.querySelector("#picture .cell")`;
const SHOWN = `[...document.querySelectorAll("#revision")].map((e) => e.textContent).join()`;

function browserTest(name: string, run: (browser: Chromium) => Promise<void>): void {
  Deno.test({
    name,
    ignore: executable === null,
    async fn() {
      await using browser = await Chromium.start(executable!);
      await run(browser);
    },
  });
}

/** Opens a page of a server, and holds that nothing was wrong when it is left. */
async function look(
  browser: Chromium,
  options: ServeOptions,
  run: (page: Page, served: ServedPages) => Promise<void>,
  path = "",
): Promise<void> {
  await using served = await servePages(options);
  await using page = await browser.open(served.url + path);
  await run(page, served);
  assertEquals(page.complaints, []);
  const elsewhere = page.requests.filter((request) =>
    !request.includes(` ${served.url}`) && !request.includes(" data:")
  );
  assertEquals(elsewhere, []);
}

async function postMerge({ url }: ServedPages, body: unknown) {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(`${url}/v1/merges`, { method: "POST", headers, body: JSON.stringify(body) });
  return await answer.json() as { revision: string; commit: string; files: { path: string }[] };
}

for (const prefix of ["", "/deep/er"]) {
  browserTest(
    `home at "${prefix}/": the recipe that is built has the commit that the server gives`,
    async (browser) => {
      await look(browser, { prefix }, async (page, served) => {
        await page.until(`${SHOWN} === "main"`);
        await page.choose("#base", "tiny");
        await page.choose("#adapter", "plus");
        await page.press("#add");
        await page.choose("#adapter", "reflect");
        await page.press("#add");
        await page.type("#parts li:nth-child(2) input", "0.5");
        await page.until(`${SHOWN} === "plus+reflect@0.5"`);
        const adapters = [{ id: "plus" }, { id: "reflect", strength: 0.5 }];
        const merge = await postMerge(served, { base: "tiny", adapters });
        assertEquals(await page.evaluate(`document.querySelector("#commit").textContent`), merge.commit);
        const links = await page.evaluate<string[]>(`[...document.querySelectorAll("#merge a")].map((a) => a.href)`);
        assertEquals(links, merge.files.map(({ path }) => `${served.url}/tiny/resolve/${merge.commit}/${path}`));
        // A link leads to the file.
        const answer = await fetch(links.find((link) => link.endsWith("config.json"))!);
        assertEquals((await answer.json()).model_type, "llama");

        await page.press("#parts li:nth-child(2) button[aria-label^='Move up']");
        await page.until(`${SHOWN} === "reflect@0.5+plus"`);
        await page.press("#parts li:nth-child(1) button[aria-label^='Remove']");
        await page.until(`${SHOWN} === "plus"`);
      });
    },
  );
}

browserTest("home: a recipe that cannot be is refused with its code, and the page goes on", async (browser) => {
  await using served = await servePages();
  await using page = await browser.open(served.url);
  await page.until(`${SHOWN} === "main"`);
  await page.choose("#adapter", "hostile");
  await page.press("#add");
  await page.until(`document.querySelector("#merge .wrong")?.textContent.startsWith("unknown_target: ")`);
  await page.press("#parts button[aria-label^='Remove']");
  await page.until(`${SHOWN} === "main"`);
});

browserTest("home: the picture has a mark for each side of each layer, and the same numbers below", async (browser) => {
  await look(browser, {}, async (page, { url }) => {
    await page.until(DRAWN);
    await page.choose("#drawn", "plus");
    const { layers } = await (await fetch(`${url}/v1/adapters/plus`)).json();
    const sides = layers.flatMap(({ sides }: { sides: unknown[] }) => sides);
    assertEquals([layers.length, sides.length], [21, 42]);
    await page.until(`document.querySelectorAll("#picture .cell").length === ${sides.length}`);
    const numbers = () =>
      page.evaluate<string[]>(`[...document.querySelectorAll("#picture td")].map((e) => e.textContent)`);
    type Side = { distance: number; angle: { mean: number } };
    const values = (measure: (side: Side) => string) => sides.map(measure).sort();
    assertEquals((await numbers()).sort(), values(({ distance }) => distance.toPrecision(3)));
    await page.choose("#measure", "angle");
    await page.until(`document.querySelector("#picture td").textContent.endsWith("°")`);
    assertEquals((await numbers()).sort(), values(({ angle }) => `${angle.mean.toPrecision(3)}°`));
    const shades = await page.evaluate<string[]>(
      `[...document.querySelectorAll(".layers .mark")].map((e) => e.getAttribute("fill-opacity"))`,
    );
    assert(new Set(shades).size > 10, "shades follow the values");
  });
});

browserTest("home: lines to copy name this server and the recipe; the buttons copy them", async (browser) => {
  await look(browser, { prefix: "/hub" }, async (page, { url }) => {
    await page.until(`${SHOWN} === "main"`);
    await page.choose("#base", "tiny");
    await page.choose("#adapter", "plus");
    await page.press("#add");
    await page.until(`document.querySelector("#clients").textContent.includes("--revision plus")`);
    const texts = await page.evaluate<string[]>(
      `[...document.querySelectorAll("#clients pre")].map((e) => e.textContent)`,
    );
    assertEquals(texts.length, 7);
    for (const text of texts) assertStringIncludes(text, url);
    await page.evaluate(`{
      globalThis.copied = [];
      Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => void copied.push(text) } });
      for (const button of document.querySelectorAll("#clients .copy")) button.click();
    }`);
    await page.until(`copied.length === 7`);
    assertEquals(await page.evaluate(`copied`), texts);
    assertEquals(await page.evaluate(`document.querySelector("#clients .copy").textContent`), "Copied");
    // The line for curl is one that works.
    const address = /(http\S+)$/.exec(texts.find((text) => text.startsWith("curl"))!)![1]!;
    const part = await fetch(address, { headers: { range: "bytes=0-7" } });
    assertEquals([part.status, (await part.bytes()).byteLength], [206, 8]);
  });
});

browserTest("home: names and texts of adapters are never markup", async (browser) => {
  await look(browser, {}, async (page) => {
    await page.until(DRAWN);
    await page.choose("#drawn", "hostile");
    await page.until(`document.querySelector("#picture").textContent.includes("<script>")`);
    const text = await page.evaluate<string>(`document.body.textContent`);
    assertStringIncludes(text, "<img src=x");
    assertMatch(
      await page.evaluate(`document.querySelector("#adapters .wrong").textContent`),
      /^unsupported: .*<script>/,
    );
    assertEquals(await page.evaluate(`document.querySelectorAll("img, script:not([type=module])").length`), 0);
    assertEquals(await page.evaluate(`globalThis.harmed`), undefined);
  });
});

browserTest("home: the page's policy keeps even an inline script from running", async (browser) => {
  await using served = await servePages();
  await using page = await browser.open(served.url);
  await page.until(DRAWN);
  await page.evaluate(`{
    const script = document.createElement("script");
    script.textContent = "globalThis.harmed = 1";
    document.body.append(script);
    document.body.insertAdjacentHTML("beforeend", '<img src="data:," onerror="globalThis.harmed = 2">');
    document.querySelector("img").addEventListener("error", () => globalThis.failed = true);
  }`);
  await page.until(`globalThis.failed`);
  assertEquals(await page.evaluate(`globalThis.harmed`), undefined);
  assert(page.complaints.some((line) => line.includes("Content Security Policy")), page.complaints.join("\n"));
});

browserTest("home: where reading takes a token, no name is shown without it", async (browser) => {
  await using served = await servePages({ readToken: "hf_reader" });
  await using page = await browser.open(served.url);
  const hidden = async () => {
    const html = await page.evaluate<string>(`document.documentElement.outerHTML`);
    return !/tiny|reflect|hostile/.test(html);
  };
  await page.until(`!document.querySelector("#access").hidden`);
  assert(await hidden());
  await page.type("#token", "hf_wrong");
  await page.press("#access button");
  await page.until(`document.querySelector("#refused").textContent !== ""`);
  assert(await hidden());
  await page.type("#token", "hf_reader");
  await page.press("#access button");
  await page.until(`${SHOWN} === "main" && ${DRAWN}`);
  assert(!await hidden());
  // It is kept nowhere, and lines to copy hold a place for it.
  const kept = `JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])`;
  assert(!(await page.evaluate<string>(kept)).includes("hf_"));
  const lines = await page.evaluate<string>(`document.querySelector("#clients").textContent`);
  assert(lines.includes("hf_...") && !lines.includes("hf_reader"));
  await page.go(served.url);
  await page.until(`!document.querySelector("#access").hidden`);
  assert(await hidden());
});

for (const path of ["/", "/docs"]) {
  browserTest(
    `${path}: fits a phone, follows the system's colours, and has its landmarks and labels`,
    async (browser) => {
      await look(browser, { prefix: "/hub" }, async (page) => {
        if (path === "/") await page.until(`${DRAWN} && ${SHOWN} === "main"`);
        for (const width of [320, 390, 1280]) {
          await page.resize(width);
          await page.until(`innerWidth === ${width}`);
          assert(await page.evaluate(`document.documentElement.scrollWidth <= ${width}`), `scrolls at ${width}`);
        }
        const lightness = `getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)`;
        await page.prefer("light");
        const light = await page.evaluate<number[]>(lightness);
        await page.prefer("dark");
        const dark = await page.evaluate<number[]>(lightness);
        assert(Math.min(...light) > 200 && Math.max(...dark) < 60, `${light} and ${dark}`);
        const nameless = await page.evaluate<string[]>(`[...document.querySelectorAll("input, select, button")]
        .filter((e) => !e.labels?.length && !e.ariaLabel && !e.textContent.trim()).map((e) => e.outerHTML)`);
        assertEquals(nameless, []);
        const count = (selector: string) =>
          page.evaluate(`document.querySelectorAll(${JSON.stringify(selector)}).length`);
        assertEquals([await count("main"), await count("header"), await count("h1"), await count("th:not([scope])")], [
          ...[1, 1, 1, 0],
        ]);
        assertEquals(await count("svg:not([aria-label])"), 0);
      }, path === "/" ? "" : path);
    },
  );
}

browserTest("docs: links lead to what they name, back home too", async (browser) => {
  await look(browser, { prefix: "/hub" }, async (page, { url }) => {
    const dead = await page.evaluate<string[]>(`[...document.querySelectorAll("a[href^='#']")]
      .filter((a) => document.getElementById(a.getAttribute("href").slice(1)) === null).map((a) => a.href)`);
    assertEquals(dead, []);
    const links = await page.evaluate<string[]>(`[...document.querySelectorAll("header a")].map((a) => a.href)`);
    assertEquals(links, [`${url}/`, `${url}/openapi.json`]);
    for (const link of links) {
      const answer = await fetch(link);
      await answer.body?.cancel();
      assertEquals(answer.status, 200);
    }
    await page.go(`${url}/`);
    await page.until(`${SHOWN} === "main"`);
  }, "/docs");
});
