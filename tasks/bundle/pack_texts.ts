/** Texts as a module of a bundle has them: deflated, until they are asked for. */
import { deflateRawSync } from "node:zlib";

const UNPACK = new URL("unpack_texts.ts", import.meta.url).pathname;

/**
 * The beginning of a module: a function `texts()`, which unpacks when it is first called.
 *
 * Variants of a page are nearly one text: of these each line, or part between braces, is written once. Other texts are
 * smaller whole; what is smaller is taken.
 */
export function packTexts(texts: readonly string[]): string {
  const whole = pack(texts.map((text) => [text]));
  const inParts = pack(texts.map((text) => text.split(/(?<=[\n}])/)));
  return `import { unpackTexts } from ${JSON.stringify(UNPACK)};
    let unpacked;
    const texts = () => unpacked ??= unpackTexts("${whole.length < inParts.length ? whole : inParts}");`;
}

/** In Base64, deflated JSON: all different parts, then for each text the steps from one of its parts to the next. */
function pack(texts: readonly (readonly string[])[]): string {
  const known = new Map([...new Set(texts.flat())].map((part, index) => [part, index]));
  const steps = texts.map((parts) => toSteps(parts.map((part) => known.get(part)!)));
  const bytes = new TextEncoder().encode(JSON.stringify([[...known.keys()], ...steps]));
  return deflateRawSync(bytes, { level: 9 }).toString("base64");
}

/** Indices as the steps from one to the next: mostly 1. */
function toSteps(indices: readonly number[]): number[] {
  return indices.map((index, at) => index - (at === 0 ? -1 : indices[at - 1]!));
}
