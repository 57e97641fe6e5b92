/** Which bytes a Range header names: held against a model that marks bytes one by one. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { chooseRanges } from "../../../routes/files/byte_ranges.ts";

const whole = { kind: "whole" };
const none = { kind: "unsatisfiable" };
const parts = (...pairs: [number, number][]) => ({
  kind: "parts",
  parts: pairs.map(([start, end]) => ({ start, end })),
});

const CASES: readonly [header: string | null, size: number, expected: unknown][] = [
  [null, 100, whole],
  ["bytes=0-0", 100, parts([0, 1])],
  ["bytes=0-99", 100, parts([0, 100])],
  ["bytes=8-", 100, parts([8, 100])],
  ["bytes=-5", 100, parts([95, 100])],
  ["bytes=-500", 100, parts([0, 100])],
  ["bytes=90-500", 100, parts([90, 100])],
  ["bytes=99-99999999999999999999999", 100, parts([99, 100])],
  ["BYTES=1-2", 100, parts([1, 3])],
  [" bytes=1-2 ", 100, parts([1, 3])],
  ["bytes=1-2, 5-6 ,\t-1,,", 100, parts([1, 3], [5, 7], [99, 100])],
  ["bytes=50-60,10-20", 100, parts([50, 61], [10, 21])],
  ["bytes=10-20,200-300", 100, parts([10, 21])],
  ["bytes=100-", 100, none],
  ["bytes=100-200", 100, none],
  ["bytes=-0", 100, none],
  ["bytes=100-,200-,-0", 100, none],
  ["bytes=0-10,10-20", 100, whole],
  ["bytes=0-,-1", 100, whole],
  ["bytes=5-4", 100, whole],
  ["bytes=5-4,1-2", 100, whole],
  ["bytes=", 100, whole],
  ["bytes=,", 100, whole],
  ["bytes=-", 100, whole],
  ["bytes= 1 - 2", 100, whole],
  ["bytes=+1-2", 100, whole],
  ["bytes=0x1-2", 100, whole],
  ["items=0-1", 100, whole],
  ["bytes", 100, whole],
  [`bytes=${Array.from({ length: 16 }, (_, i) => `${2 * i}-${2 * i}`).join()}`, 100, {
    kind: "parts",
    parts: Array.from({ length: 16 }, (_, i) => ({ start: 2 * i, end: 2 * i + 1 })),
  }],
  [`bytes=${Array.from({ length: 17 }, (_, i) => `${2 * i}-${2 * i}`).join()}`, 100, whole],
  [`bytes=0-${"9".repeat(5000)}`, 100, whole],
  ["bytes=0-", 0, whole],
  ["bytes=0-0", 0, whole],
  ["bytes=-0", 0, whole],
  ["bytes=-5", 0, whole],
];

for (const [header, size, expected] of CASES) {
  const name = header !== null && header.length > 60 ? `${header.slice(0, 60)}…` : header;
  Deno.test(`chooseRanges: ${name} of ${size} bytes`, () => assertEquals(chooseRanges(header, size), expected));
}

const specifier = fc.oneof(
  fc.tuple(fc.nat(40), fc.nat(40)).map(([a, b]) => `${a}-${b}`),
  fc.nat(40).map((a) => `${a}-`),
  fc.nat(40).map((a) => `-${a}`),
);

Deno.test("chooseRanges: its parts are the bytes that the specifiers name, each once, in their order", () => {
  fc.assert(fc.property(fc.array(specifier, { minLength: 1, maxLength: 20 }), fc.nat(30), (specifiers, size) => {
    const model = specifiers.map((text) => bytesOf(text, size));
    const choice = chooseRanges(`bytes=${specifiers.join(",")}`, size);
    const named = model.flatMap((bytes) => bytes ?? []);
    if (choice.kind === "parts") {
      assertEquals(choice.parts.flatMap(({ start, end }) => indices(start, end)), named);
      assert(named.length <= size && new Set(named).size === named.length);
    } else if (choice.kind === "unsatisfiable") {
      assertEquals(named, []);
      assert(!model.includes(null));
    } else {
      assert(
        model.includes(null) || new Set(named).size < named.length || specifiers.length > 16 || size === 0,
      );
    }
  }));
});

Deno.test("chooseRanges: any text gives some answer within the file", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), fc.nat(1000), (text, size) => {
    const choice = chooseRanges(`bytes=${text}`, size);
    if (choice.kind !== "parts") return;
    for (const { start, end } of choice.parts) assert(start >= 0 && start < end && end <= size);
  }));
});

/** The bytes of one specifier, one by one; null for one that is no range. */
function bytesOf(text: string, size: number): number[] | null {
  const [first, last] = text.split("-") as [string, string];
  if (first === "") return indices(0, size).slice(Math.max(0, size - Number(last)));
  if (last !== "" && Number(last) < Number(first)) return null;
  return indices(0, size).filter((byte) => byte >= Number(first) && (last === "" || byte <= Number(last)));
}

function indices(start: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i);
}
