/** What is made ahead is what the generators would have made when asked. */
import { assertEquals } from "../../testing/assert.ts";
import * as esbuild from "esbuild";
import { openApiDocument } from "../../routes/openapi/document.ts";
import { OPERATIONS } from "../../routes/openapi/operations.ts";
import { docsPage } from "../../routes/pages/docs.ts";
import { homePage } from "../../routes/pages/home.ts";
import { buildOptions, ROOT } from "../../tasks/bundle/build.ts";
import { madeAhead } from "../../tasks/bundle/made_ahead.ts";

interface Pages {
  readonly openApiDocument: typeof openApiDocument;
  readonly docsPage: typeof docsPage;
  readonly homePage: typeof homePage;
}

Deno.test("madeAhead: document and pages are those of the generators, at every path and for every caller", async () => {
  const made = await bundledPages();
  for (const prefix of ["", "/hub", "/a&b'c"]) {
    for (const readsNeedToken of [false, true]) {
      for (const hasWriters of [false, true]) {
        const options = { operations: OPERATIONS, prefix, readsNeedToken, hasWriters };
        const document = openApiDocument(options);
        const ahead = made.openApiDocument({ ...options, operations: [] });
        assertEquals(JSON.stringify(ahead), JSON.stringify(document));
        assertEquals(await made.docsPage(ahead), await docsPage(document));
      }
    }
  }
  for (const root of ["./", "./hub/", `./"&'/`]) {
    assertEquals(await made.homePage(root), await homePage(root));
    for (const endpoint of ["https://hub.example/a", `https://hub.example/"&'`]) {
      assertEquals(await made.homePage(root, endpoint), await homePage(root, endpoint));
    }
  }
});

async function bundledPages(): Promise<Pages> {
  const options = buildOptions();
  const { outputFiles } = await esbuild.build({
    ...options,
    stdin: {
      contents: `export { openApiDocument } from "./routes/openapi/document.ts";
        export { docsPage } from "./routes/pages/docs.ts";
        export { homePage } from "./routes/pages/home.ts";`,
      resolveDir: ROOT,
    },
    write: false,
    plugins: [...options.plugins, madeAhead()],
  });
  await esbuild.stop();
  return await import(`data:text/javascript;base64,${outputFiles[0]!.contents.toBase64()}`);
}
