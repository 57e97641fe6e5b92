/** A module of JavaScript that holds bytes. */
import { deflateRawSync } from "node:zlib";

/** How bytes are written down. */
export interface RenderOptions {
  /** A function of this name gives the bytes, decoded at each call; undefined: they are the default export. */
  readonly functionName?: string | undefined;
  /** Deflate them; the module then imports `fflate`, which inflates them synchronously. */
  readonly compress?: boolean | undefined;
}

/** The module's text. */
export function renderBytes(binary: Uint8Array, { functionName, compress = false }: RenderOptions = {}): string {
  const packed = compress ? deflateRawSync(binary, { level: 9 }) : binary;
  const decoded = `Uint8Array.from(atob("${base64Of(packed)}"), (character) => character.charCodeAt(0))`;
  const bytes = compress ? `inflateSync(${decoded}, { out: new Uint8Array(${binary.length}) })` : decoded;
  return [
    compress ? `import { inflateSync } from "fflate";` : "",
    functionName === undefined ? `export default ${bytes};` : `export function ${functionName}() { return ${bytes}; }`,
  ].join("\n");
}

function base64Of(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}
