import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { ResidualDecoder } from "../../../runtime/receipts/residual_decoder.ts";
import { ResidualEncoder } from "../../../runtime/receipts/residual_encoder.ts";
import { bitsOf, BLOCK_ELEMENTS, END_BYTES, MAX_ELEMENT_BYTES } from "../../../runtime/receipts/residual_model.ts";
import { elementByteLength, FLOAT_DTYPES, type FloatDtype } from "../../../runtime/safetensors/dtype.ts";
import { Random } from "../kernel/arbitrary.ts";

/** Elements of the base and what undoing gave, as bytes. */
interface Pair {
  readonly base: Uint8Array<ArrayBuffer>;
  readonly undone: Uint8Array<ArrayBuffer>;
}

/** `wrong`: the share of elements that differ; `far`: of these, the share that differs by anything at all. */
function drawPair(dtype: FloatDtype, count: number, seed: number, wrong: number, far: number): Pair {
  const random = new Random(seed);
  const chance = () => (random.bits() >>> 8) / 2 ** 24;
  const undone = new Uint8Array(count * elementByteLength(dtype));
  const base = new Uint8Array(undone.byteLength);
  const [from, to] = [bitsOf(dtype, undone), bitsOf(dtype, base)];
  for (let i = 0; i < count; i++) {
    from[i] = random.bits();
    to[i] = from[i]!;
    if (chance() >= wrong) continue;
    to[i] = chance() < far ? random.bits() : from[i]! + (random.bits() & 1 ? 1 : -1);
  }
  return { base, undone };
}

/** Codes in pieces, then decodes each block in pieces of others. */
function roundTrip(dtype: FloatDtype, { base, undone }: Pair, pieceElements: number): {
  readonly restored: Uint8Array<ArrayBuffer>;
  readonly encoder: ResidualEncoder;
  readonly byteLength: number;
} {
  const width = elementByteLength(dtype);
  const piece = pieceElements * width;
  const encoder = new ResidualEncoder();
  encoder.start(dtype);
  for (let at = 0; at < base.byteLength; at += piece) {
    encoder.add(base.subarray(at, at + piece), undone.subarray(at, at + piece));
  }
  const bytes = encoder.finish();
  const restored = undone.slice();
  const decoder = new ResidualDecoder(dtype);
  let end = 0;
  for (const [block, byteLength] of encoder.blockByteLengths.entries()) {
    decoder.begin(bytes.subarray(end, end += byteLength));
    const stop = Math.min(restored.byteLength, (block + 1) * BLOCK_ELEMENTS * width);
    for (let at = block * BLOCK_ELEMENTS * width; at < stop; at += 3 * piece) {
      decoder.restore(restored.subarray(at, Math.min(stop, at + 3 * piece)));
    }
  }
  assertEquals(end, bytes.byteLength);
  return { restored, encoder, byteLength: bytes.byteLength };
}

const shares = fc.constantFrom(0, 0.02, 0.3, 1);

Deno.test("residuals: every bit pattern comes back, NaNs, infinities and both zeros included, in any pieces", () => {
  fc.assert(
    fc.property(
      fc.record({
        dtype: fc.constantFrom(...FLOAT_DTYPES),
        count: fc.integer({ min: 0, max: 3000 }),
        seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
        ...{ wrong: shares, far: shares, piece: fc.integer({ min: 1, max: 4000 }) },
      }),
      ({ dtype, count, seed, wrong, far, piece }) => {
        const pair = drawPair(dtype, count, seed, wrong, far);
        const { restored, encoder, byteLength } = roundTrip(dtype, pair, piece);
        assertEquals(restored, pair.base);
        const [a, b] = [bitsOf(dtype, pair.base), bitsOf(dtype, pair.undone)];
        assertEquals(encoder.wrongCount, [...a].filter((bits, i) => bits !== b[i]).length);
        assert(byteLength <= count * MAX_ELEMENT_BYTES + END_BYTES);
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("residuals: blocks stand alone, and a border within a piece changes nothing", () => {
  for (const dtype of FLOAT_DTYPES) {
    const count = 2 * BLOCK_ELEMENTS + 77;
    const pair = drawPair(dtype, count, 5, 0.1, 0.01);
    const whole = roundTrip(dtype, pair, count);
    assertEquals(whole.encoder.blockByteLengths.length, 3);
    const pieces = roundTrip(dtype, pair, 10_007);
    assertEquals(pieces.encoder.blockByteLengths, whole.encoder.blockByteLengths);
    assert(equal(whole.restored, pair.base) && equal(pieces.restored, pair.base));
  }
});

Deno.test("residuals: what is drawn at random takes its entropy and one part in a hundred", () => {
  for (const wrong of [0, 0.01, 0.12, 0.5]) {
    const pair = drawPair("BF16", BLOCK_ELEMENTS, 9, wrong, 0);
    // One exponent throughout, so that there is nothing to learn from it.
    const [base, undone] = [bitsOf("BF16", pair.base), bitsOf("BF16", pair.undone)];
    for (let i = 0; i < base.length; i++) {
      const step = base[i]! - undone[i]!;
      undone[i] = 0x3f80 | (1 + undone[i]! % 126);
      base[i] = undone[i]! + step;
    }
    const { byteLength, encoder } = roundTrip("BF16", pair, BLOCK_ELEMENTS);
    const share = encoder.wrongCount / BLOCK_ELEMENTS;
    const bits = share === 0 ? 0 : share - share * Math.log2(share) - (1 - share) * Math.log2(1 - share);
    const entropy = bits * BLOCK_ELEMENTS / 8;
    assert(byteLength < 1.01 * entropy + 200, `${byteLength} bytes for an entropy of ${entropy}`);
  }
});

Deno.test("residuals: damaged bytes give other elements, never an error or an endless loop", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...FLOAT_DTYPES), (bytes, dtype) => {
    const decoder = new ResidualDecoder(dtype);
    decoder.begin(new Uint8Array(bytes));
    decoder.restore(new Uint8Array(4000));
  }));
});

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, at) => byte === b[at]);
}
