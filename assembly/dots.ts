// w·û of one chunk in each of one or four rows.
//
// Eight strided partial sums P[k], k = e mod 8, run over a segment of 512 elements and are then added to totals T[k]:
// no chain is longer than 64 terms, which keeps the error of long rows small. At the end T[k] + T[k+4], then + [k+2],
// then + [k+1]: halves of vectors, whichever order the lanes are in, so that all dtypes give the same sum.
import { DECODED } from "./decoded";
import { constant, first, second, tileGroup, VECTOR_GROUP } from "./group";
import { TAIL_STRIDE, TAILS } from "./tails";
import { count, isF16, isF32 } from "./types";

const SEGMENT: usize = 512;

/**
 * One dot for each row, in lanes (all lanes, if there is one row). NaN or infinite if an element is.
 *
 * @typeParam Kept One: the elements are left at DECODED
 * @param w      the first row's chunk; its last n mod 8 elements, and those of the other rows, are read from TAILS
 * @param stride bytes from row to row
 */
export function dots<D, Rows, Kept>(w: usize, stride: usize, n: usize, u: usize): v128 {
  const k0 = constant<D>(0), k1 = constant<D>(1), k7 = isF16<D>() ? constant<D>(7) : k0;
  let w0 = w, w1 = w + stride, w2 = w1 + stride, w3 = w2 + stride;
  let t0 = f32x4.splat(0), t1 = t0, t2 = t0, t3 = t0, t4 = t0, t5 = t0, t6 = t0, t7 = t0;
  let decoded: usize = DECODED;
  let largest = t0; // the largest code, without its sign
  for (let start: usize = 0; start < n; start += SEGMENT) {
    let p0 = f32x4.splat(0), p1 = p0, p2 = p0, p3 = p0, p4 = p0, p5 = p0, p6 = p0, p7 = p0;
    let groups = min(n - start, SEGMENT) >> 3;
    let tail = n - start < SEGMENT && (n & 7) != 0;
    while (true) {
      for (; groups; --groups) {
        const ua = v128.load(u), ub = v128.load(u, 16);
        const r0 = v128.load(w0);
        const x0 = first<D>(r0, k0, k1, k7), y0 = second<D>(r0, w0, k0, k1);
        p0 = f32x4.add(p0, f32x4.mul(x0, ua));
        p1 = f32x4.add(p1, f32x4.mul(y0, ub));
        if (isF16<D>()) largest = i16x8.max_u(largest, i16x8.add(r0, r0));
        if (count<Kept>()) keep(decoded, x0, y0);
        if (count<Rows>() == 4) {
          const r1 = v128.load(w1);
          const x1 = first<D>(r1, k0, k1, k7), y1 = second<D>(r1, w1, k0, k1);
          p2 = f32x4.add(p2, f32x4.mul(x1, ua));
          p3 = f32x4.add(p3, f32x4.mul(y1, ub));
          if (isF16<D>()) largest = i16x8.max_u(largest, i16x8.add(r1, r1));
          if (count<Kept>()) keep(decoded + VECTOR_GROUP, x1, y1);
          const r2 = v128.load(w2);
          const x2 = first<D>(r2, k0, k1, k7), y2 = second<D>(r2, w2, k0, k1);
          p4 = f32x4.add(p4, f32x4.mul(x2, ua));
          p5 = f32x4.add(p5, f32x4.mul(y2, ub));
          if (isF16<D>()) largest = i16x8.max_u(largest, i16x8.add(r2, r2));
          if (count<Kept>()) keep(decoded + 2 * VECTOR_GROUP, x2, y2);
          const r3 = v128.load(w3);
          const x3 = first<D>(r3, k0, k1, k7), y3 = second<D>(r3, w3, k0, k1);
          p6 = f32x4.add(p6, f32x4.mul(x3, ua));
          p7 = f32x4.add(p7, f32x4.mul(y3, ub));
          if (isF16<D>()) largest = i16x8.max_u(largest, i16x8.add(r3, r3));
          if (count<Kept>()) keep(decoded + 3 * VECTOR_GROUP, x3, y3);
          w1 += tileGroup<D>();
          w2 += tileGroup<D>();
          w3 += tileGroup<D>();
        }
        w0 += tileGroup<D>();
        u += VECTOR_GROUP;
        if (count<Kept>()) decoded += count<Rows>() * VECTOR_GROUP;
      }
      if (!tail) break;
      tail = false;
      groups = 1;
      w0 = TAILS;
      w1 = TAILS + TAIL_STRIDE;
      w2 = TAILS + 2 * TAIL_STRIDE;
      w3 = TAILS + 3 * TAIL_STRIDE;
    }
    t0 = f32x4.add(t0, p0);
    t1 = f32x4.add(t1, p1);
    if (count<Rows>() == 4) {
      t2 = f32x4.add(t2, p2);
      t3 = f32x4.add(t3, p3);
      t4 = f32x4.add(t4, p4);
      t5 = f32x4.add(t5, p5);
      t6 = f32x4.add(t6, p6);
      t7 = f32x4.add(t7, p7);
    }
  }
  // The loops decode an F16 infinity or NaN to some finite value; here it spoils the dot, as in the other dtypes.
  if (isF16<D>() && v128.any_true(i16x8.ge_u(largest, i16x8.splat(<i16>0xf800)))) return f32x4.splat(NaN);
  if (count<Rows>() == 1) return fold<D>(t0, t1, t0, t1, t0, t1, t0, t1);
  return fold<D>(t0, t1, t2, t3, t4, t5, t6, t7);
}

@inline function keep(address: usize, x: v128, y: v128): void {
  v128.store(address, x);
  v128.store(address, y, 16);
}

/** The totals of four rows, a first and a second vector each, to the sums of four rows. */
@inline function fold<D>(
  a0: v128, b0: v128, a1: v128, b1: v128, a2: v128, b2: v128, a3: v128, b3: v128,
): v128 {
  if (isF32<D>()) { // T0 T1 T2 T3 | T4 T5 T6 T7
    const low = halves(f32x4.add(a0, b0), f32x4.add(a1, b1));
    const high = halves(f32x4.add(a2, b2), f32x4.add(a3, b3));
    return f32x4.add(lowHalves(low, high), highHalves(low, high));
  } else { // T0 T2 T4 T6 | T1 T3 T5 T7
    const aLow = halves(a0, a1), aHigh = halves(a2, a3);
    const bLow = halves(b0, b1), bHigh = halves(b2, b3);
    return f32x4.add(
      f32x4.add(lowHalves(aLow, aHigh), highHalves(aLow, aHigh)),
      f32x4.add(lowHalves(bLow, bHigh), highHalves(bLow, bHigh)),
    );
  }
}

/** x0+x2 y0+y2 x1+x3 y1+y3 */
@inline function halves(x: v128, y: v128): v128 {
  return f32x4.add(i32x4.shuffle(x, y, 0, 4, 1, 5), i32x4.shuffle(x, y, 2, 6, 3, 7));
}

@inline function lowHalves(x: v128, y: v128): v128 { return i64x2.shuffle(x, y, 0, 2); }
@inline function highHalves(x: v128, y: v128): v128 { return i64x2.shuffle(x, y, 1, 3); }
