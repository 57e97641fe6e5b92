/**
 * `deno task bundle`: `dist/edge.js`, the whole server in one file, and `dist/core.js`, the core for a browser; each
 * with its source map and the licences of the packages in it.
 */
import { stop } from "esbuild";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { bundle, type BundleName, ROOT } from "./build.ts";
import { licensesOf } from "./licenses.ts";

const NAMES: readonly BundleName[] = ["edge", "core"];

try {
  for (const name of NAMES) {
    const metafile = await bundle(name, `${ROOT}/dist`);
    const path = `${ROOT}/dist/${name}.js`;
    await Deno.writeTextFile(`${path}.LICENSES.txt`, await licensesOf(metafile, ROOT));
    const bytes = await Deno.readFile(path);
    const sent = [gzipSync(bytes, { level: 9 }), brotliCompressSync(bytes)].map(({ length }) => kilobytes(length));
    console.log(`dist/${name}.js: ${kilobytes(bytes.length)}, ${sent[0]} with gzip, ${sent[1]} with brotli`);
  }
} finally {
  await stop();
}

function kilobytes(byteLength: number): string {
  return `${(byteLength / 1000).toFixed(1)} kB`;
}
