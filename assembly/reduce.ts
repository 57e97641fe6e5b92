// a[j] = Σ p[i]·w[i,j] over a segment of rows, then sums[j] += a[j] in f64; the same for q in the same pass.
//
// Whole rows are swept, without tiles of columns, and one after the other: memory likes one long stream best, and a
// stride of a power of two, which rows beside each other have, worst. With q there is twice the arithmetic, and four
// rows at a time win: each load and store of a[j] then serves four rows. The chain a + p0·w0 + p1·w1 + … is the same.
//
// The sums are of 2^60·p, but for F16: no product of an F32 or BF16 is then so small that f32 loses digits of it. A sum
// that is then too large for f32 is done in f64.
import { decode } from "./element";
import { constant, firstUnscaled, lane, scaled, secondUnscaled, tileGroup, VECTOR_GROUP } from "./group";
import { TAIL_STRIDE, TAILS, takeTails } from "./tails";
import { count, Four, isF16, isF32, One, Two } from "./types";

export function reduce<D>(
  tile: usize, rowCount: usize, rowStride: usize, columnCount: usize,
  p: usize, q: usize, pSums: usize, qSums: usize, scratch: usize,
): void {
  const finite = q
    ? sweep<D, Two>(tile, rowCount, rowStride, columnCount, p, q, scratch)
    : sweep<D, One>(tile, rowCount, rowStride, columnCount, p, 0, scratch);
  if (finite) {
    collect<D>(scratch, columnCount, pSums);
    if (q) collect<D>(scratch + ((columnCount + 7) >> 3) * VECTOR_GROUP, columnCount, qSums);
  } else {
    exactSums<D>(tile, rowCount, rowStride, columnCount, p, pSums);
    if (q) exactSums<D>(tile, rowCount, rowStride, columnCount, q, qSums);
  }
}

/** Fills the f32 sums at `a` (p's, then q's). False if one of them, or an element of an F16 tile, is not finite. */
function sweep<D, Vectors>(
  tile: usize, rowCount: usize, rowStride: usize, columnCount: usize, p: usize, q: usize, a: usize,
): bool {
  const groups = columnCount >> 3;
  const tailBytes = (columnCount & 7) * sizeof<D>();
  const wholeBytes = groups * tileGroup<D>();
  const sumsBytes = ((columnCount + 7) >> 3) * VECTOR_GROUP;
  const tailSums = a + groups * VECTOR_GROUP;
  let largest = f32x4.splat(0);
  memory.fill(a, 0, count<Vectors>() * sumsBytes);
  while (rowCount) {
    const four: bool = count<Vectors>() == 2 && rowCount >= 4;
    const block: usize = four ? 4 : 1;
    largest = four
      ? addRows<D, Four, Vectors>(tile, rowStride, groups, p, q, a, a + sumsBytes, largest)
      : addRows<D, One, Vectors>(tile, rowStride, groups, p, q, a, a + sumsBytes, largest);
    if (tailBytes) {
      takeTails(tile + wholeBytes, rowStride, tailBytes, block);
      largest = four
        ? addRows<D, Four, Vectors>(TAILS, TAIL_STRIDE, 1, p, q, tailSums, tailSums + sumsBytes, largest)
        : addRows<D, One, Vectors>(TAILS, TAIL_STRIDE, 1, p, q, tailSums, tailSums + sumsBytes, largest);
    }
    rowCount -= block;
    tile += block * rowStride;
    p += 4 * block;
    if (q) q += 4 * block;
  }
  if (isF16<D>() && v128.any_true(i16x8.ge_u(largest, i16x8.splat(<i16>0xf800)))) return false;
  return allFinite(a, count<Vectors>() * (sumsBytes / VECTOR_GROUP));
}

/** Adds one or four rows; returns the largest F16 code so far, without its sign. */
function addRows<D, Rows, Vectors>(
  w: usize, stride: usize, groups: usize, p: usize, q: usize, a: usize, b: usize, largest: v128,
): v128 {
  const k0 = constant<D>(0), k1 = constant<D>(1), k7 = isF16<D>() ? constant<D>(7) : k0;
  const zero = f32x4.splat(0);
  const four = count<Rows>() == 4, pair = count<Vectors>() == 2;
  const p0 = coefficient<D>(p, 0, k1), p1 = four ? coefficient<D>(p, 1, k1) : zero;
  const p2 = four ? coefficient<D>(p, 2, k1) : zero, p3 = four ? coefficient<D>(p, 3, k1) : zero;
  const q0 = pair ? coefficient<D>(q, 0, k1) : zero, q1 = four && pair ? coefficient<D>(q, 1, k1) : zero;
  const q2 = four && pair ? coefficient<D>(q, 2, k1) : zero, q3 = four && pair ? coefficient<D>(q, 3, k1) : zero;
  let w0 = w, w1 = w + stride, w2 = w1 + stride, w3 = w2 + stride;
  for (; groups; --groups) {
    const r0 = v128.load(w0);
    let x = firstUnscaled<D>(r0, k0, k7), y = secondUnscaled<D>(r0, w0, k0);
    let a0 = f32x4.add(v128.load(a), f32x4.mul(x, p0)), a1 = f32x4.add(v128.load(a, 16), f32x4.mul(y, p0));
    let b0 = zero, b1 = zero;
    if (count<Vectors>() == 2) {
      b0 = f32x4.add(v128.load(b), f32x4.mul(x, q0));
      b1 = f32x4.add(v128.load(b, 16), f32x4.mul(y, q0));
    }
    if (isF16<D>()) largest = i16x8.max_u(largest, i16x8.add(r0, r0));
    if (count<Rows>() == 4) {
      const r1 = v128.load(w1);
      x = firstUnscaled<D>(r1, k0, k7), y = secondUnscaled<D>(r1, w1, k0);
      a0 = f32x4.add(a0, f32x4.mul(x, p1)), a1 = f32x4.add(a1, f32x4.mul(y, p1));
      if (count<Vectors>() == 2) b0 = f32x4.add(b0, f32x4.mul(x, q1)), b1 = f32x4.add(b1, f32x4.mul(y, q1));
      if (isF16<D>()) largest = i16x8.max_u(largest, i16x8.add(r1, r1));
      const r2 = v128.load(w2);
      x = firstUnscaled<D>(r2, k0, k7), y = secondUnscaled<D>(r2, w2, k0);
      a0 = f32x4.add(a0, f32x4.mul(x, p2)), a1 = f32x4.add(a1, f32x4.mul(y, p2));
      if (count<Vectors>() == 2) b0 = f32x4.add(b0, f32x4.mul(x, q2)), b1 = f32x4.add(b1, f32x4.mul(y, q2));
      if (isF16<D>()) largest = i16x8.max_u(largest, i16x8.add(r2, r2));
      const r3 = v128.load(w3);
      x = firstUnscaled<D>(r3, k0, k7), y = secondUnscaled<D>(r3, w3, k0);
      a0 = f32x4.add(a0, f32x4.mul(x, p3)), a1 = f32x4.add(a1, f32x4.mul(y, p3));
      if (count<Vectors>() == 2) b0 = f32x4.add(b0, f32x4.mul(x, q3)), b1 = f32x4.add(b1, f32x4.mul(y, q3));
      if (isF16<D>()) largest = i16x8.max_u(largest, i16x8.add(r3, r3));
      w1 += tileGroup<D>();
      w2 += tileGroup<D>();
      w3 += tileGroup<D>();
    }
    v128.store(a, a0);
    v128.store(a, a1, 16);
    if (count<Vectors>() == 2) {
      v128.store(b, b0);
      v128.store(b, b1, 16);
      b += VECTOR_GROUP;
    }
    w0 += tileGroup<D>();
    a += VECTOR_GROUP;
  }
  return largest;
}

/** A row's coefficient, for unscaled elements; but for F16, 2^60 of it. */
@inline function coefficient<D>(p: usize, row: usize, k1: v128): v128 {
  const own = v128.load32_splat(p + 4 * row);
  return isF16<D>() ? scaled<D>(own, k1) : f32x4.mul(own, f32x4.splat(reinterpret<f32>(0x5d800000)));
}

/** A sum without the 2^60. */
@inline function unscaledSums<D>(x: v128): v128 {
  return isF16<D>() ? x : f64x2.mul(x, f64x2.splat(reinterpret<f64>(0x3c30000000000000)));
}

/** x - x is 0, or NaN where x is infinite or NaN; and a NaN stays in the sum. */
function allFinite(a: usize, groups: usize): bool {
  let sum = f32x4.splat(0);
  for (; groups; --groups) {
    const x = v128.load(a), y = v128.load(a, 16);
    sum = f32x4.add(sum, f32x4.add(f32x4.sub(x, x), f32x4.sub(y, y)));
    a += VECTOR_GROUP;
  }
  return i32x4.all_true(f32x4.eq(sum, sum));
}

/** sums[j] += a[j]: from the order of the lanes to the natural one, from f32 to f64. */
function collect<D>(a: usize, n: usize, sums: usize): void {
  for (let groups = n >> 3; groups; --groups) {
    const x = v128.load(a), y = v128.load(a, 16);
    const low = isF32<D>() ? x : i32x4.shuffle(x, y, 0, 4, 1, 5);
    const high = isF32<D>() ? y : i32x4.shuffle(x, y, 2, 6, 3, 7);
    addPair<D>(sums, low);
    addPair<D>(sums + 16, i64x2.shuffle(low, low, 1, 0));
    addPair<D>(sums + 32, high);
    addPair<D>(sums + 48, i64x2.shuffle(high, high, 1, 0));
    a += VECTOR_GROUP;
    sums += 64;
  }
  for (let e: usize = 0; e < (n & 7); ++e) {
    const own = unscaledSums<D>(f64x2.splat(<f64>load<f32>(a + lane<D>(e))));
    store<f64>(sums + 8 * e, load<f64>(sums + 8 * e) + f64x2.extract_lane(own, 0));
  }
}

@inline function addPair<D>(sums: usize, x: v128): void {
  v128.store(sums, f64x2.add(v128.load(sums), unscaledSums<D>(f64x2.promote_low_f32x4(x))));
}

/** The same sums in f64, rows in increasing order. */
function exactSums<D>(
  tile: usize, rowCount: usize, rowStride: usize, columnCount: usize, p: usize, sums: usize,
): void {
  for (let j: usize = 0; j < columnCount; ++j) {
    let sum: f64 = 0;
    for (let i: usize = 0; i < rowCount; ++i) {
      sum += <f64>load<f32>(p + 4 * i) * <f64>decode<D>(tile + i * rowStride + j * sizeof<D>());
    }
    store<f64>(sums + 8 * j, load<f64>(sums + 8 * j) + sum);
  }
}
