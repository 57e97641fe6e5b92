// w' = w + right + left, rounded once, for one chunk in each of one or four rows:
//
//   right = cv·v̂ - cu·û     cu = alpha·(w·û), cv = beta·(w·v̂): one number for each row
//   left  = q·t - p·s       p, q: one number for each row
//
// A side has no, one (û, s) or two vectors; two sides have equally many.
import { constant, first, second, storeGroup, storePairF16, tileGroup, VECTOR_GROUP } from "./group";
import { count, isF16 } from "./types";

/**
 * The coefficients come in lanes, one for each row.
 *
 * @typeParam Kept One: the elements are at `decoded`, as in `decoded.ts`
 */
export function update<D, Rows, Right, Left, Kept>(
  w: usize, stride: usize, groups: usize, decoded: usize,
  u: usize, v: usize, s: usize, t: usize,
  cu: v128, cv: v128, p: v128, q: v128,
): void {
  const k0 = constant<D>(0), k1 = constant<D>(1), k7 = isF16<D>() ? constant<D>(7) : k0;
  const k2 = isF16<D>() ? constant<D>(2) : k0, k3 = isF16<D>() ? constant<D>(3) : k0;
  const k4 = isF16<D>() ? constant<D>(4) : k0, k5 = isF16<D>() ? constant<D>(5) : k0;
  const k6 = isF16<D>() ? constant<D>(6) : k0;
  let w0 = w, w1 = w + stride, w2 = w1 + stride, w3 = w2 + stride;
  const cu0 = row0(cu), cv0 = row0(cv), p0 = row0(p), q0 = row0(q);
  const cu1 = row1(cu), cv1 = row1(cv), p1 = row1(p), q1 = row1(q);
  const cu2 = row2(cu), cv2 = row2(cv), p2 = row2(p), q2 = row2(q);
  const cu3 = row3(cu), cv3 = row3(cv), p3 = row3(p), q3 = row3(q);
  // F16 takes two rows at a time, the others, which wait for memory, do not.
  const pairs = isF16<D>() && count<Rows>() == 4;
  for (; groups; --groups) {
    const d0 = decoded, d1 = d0 + VECTOR_GROUP, d2 = d1 + VECTOR_GROUP, d3 = d2 + VECTOR_GROUP;
    const ua = some<Right>(u, 1, 0), ub = some<Right>(u, 1, 16);
    const va = some<Right>(v, 2, 0), vb = some<Right>(v, 2, 16);
    const sa = some<Left>(s, 1, 0), sb = some<Left>(s, 1, 16);
    const ta = some<Left>(t, 2, 0), tb = some<Left>(t, 2, 16);
    const r0 = codes<Kept>(w0);
    const x0 = moved<Right, Left>(firstOf<D, Kept>(r0, d0, k0, k1, k7), ua, va, sa, ta, cu0, cv0, p0, q0);
    const y0 = moved<Right, Left>(secondOf<D, Kept>(r0, w0, d0, k0, k1), ub, vb, sb, tb, cu0, cv0, p0, q0);
    if (!pairs) storeGroup<D>(w0, x0, y0, k1, k2, k3, k4, k5, k6);
    if (count<Rows>() == 4) {
      const r1 = codes<Kept>(w1);
      const x1 = moved<Right, Left>(firstOf<D, Kept>(r1, d1, k0, k1, k7), ua, va, sa, ta, cu1, cv1, p1, q1);
      const y1 = moved<Right, Left>(secondOf<D, Kept>(r1, w1, d1, k0, k1), ub, vb, sb, tb, cu1, cv1, p1, q1);
      if (pairs) storePairF16(w0, x0, y0, w1, x1, y1, k2, k3, k4, k5, k6);
      else storeGroup<D>(w1, x1, y1, k1, k2, k3, k4, k5, k6);
      const r2 = codes<Kept>(w2);
      const x2 = moved<Right, Left>(firstOf<D, Kept>(r2, d2, k0, k1, k7), ua, va, sa, ta, cu2, cv2, p2, q2);
      const y2 = moved<Right, Left>(secondOf<D, Kept>(r2, w2, d2, k0, k1), ub, vb, sb, tb, cu2, cv2, p2, q2);
      if (!pairs) storeGroup<D>(w2, x2, y2, k1, k2, k3, k4, k5, k6);
      const r3 = codes<Kept>(w3);
      const x3 = moved<Right, Left>(firstOf<D, Kept>(r3, d3, k0, k1, k7), ua, va, sa, ta, cu3, cv3, p3, q3);
      const y3 = moved<Right, Left>(secondOf<D, Kept>(r3, w3, d3, k0, k1), ub, vb, sb, tb, cu3, cv3, p3, q3);
      if (pairs) storePairF16(w2, x2, y2, w3, x3, y3, k2, k3, k4, k5, k6);
      else storeGroup<D>(w3, x3, y3, k1, k2, k3, k4, k5, k6);
      w1 += tileGroup<D>();
      w2 += tileGroup<D>();
      w3 += tileGroup<D>();
    }
    w0 += tileGroup<D>();
    if (count<Kept>()) decoded += count<Rows>() * VECTOR_GROUP;
    u += VECTOR_GROUP;
    v += VECTOR_GROUP;
    s += VECTOR_GROUP;
    t += VECTOR_GROUP;
  }
}

// A group's first 16 bytes, and its two vectors: decoded from there, or kept.

@inline function codes<Kept>(w: usize): v128 {
  return count<Kept>() ? i32x4.splat(0) : v128.load(w);
}

@inline function firstOf<D, Kept>(raw: v128, decoded: usize, k0: v128, k1: v128, k7: v128): v128 {
  return count<Kept>() ? v128.load(decoded) : first<D>(raw, k0, k1, k7);
}

@inline function secondOf<D, Kept>(raw: v128, w: usize, decoded: usize, k0: v128, k1: v128): v128 {
  return count<Kept>() ? v128.load(decoded, 16) : second<D>(raw, w, k0, k1);
}

// The coefficients are below 2^125 and the vectors at most 1, or the other way round: no sum of products can overflow
// before the result does.
@inline function moved<Right, Left>(
  w: v128,
  u: v128, v: v128, s: v128, t: v128,
  cu: v128, cv: v128, p: v128, q: v128,
): v128 {
  if (count<Left>() == 0) {
    if (count<Right>() == 1) return f32x4.sub(w, f32x4.mul(cu, u));
    return f32x4.add(w, difference(cv, v, cu, u));
  }
  if (count<Right>() == 0) {
    if (count<Left>() == 1) return f32x4.sub(w, f32x4.mul(p, s));
    return f32x4.add(w, difference(q, t, p, s));
  }
  if (count<Right>() == 1) return f32x4.sub(w, f32x4.add(f32x4.mul(cu, u), f32x4.mul(p, s)));
  return f32x4.add(w, f32x4.add(difference(cv, v, cu, u), difference(q, t, p, s)));
}

/** a·x - b·y */
@inline function difference(a: v128, x: v128, b: v128, y: v128): v128 {
  return f32x4.sub(f32x4.mul(a, x), f32x4.mul(b, y));
}

/** A vector group's half, if the side has at least `least` vectors. */
@inline function some<N>(address: usize, least: usize, offset: usize): v128 {
  return count<N>() >= least ? v128.load(address + offset) : f32x4.splat(0);
}

@inline function row0(x: v128): v128 { return i32x4.shuffle(x, x, 0, 0, 0, 0); }
@inline function row1(x: v128): v128 { return i32x4.shuffle(x, x, 1, 1, 1, 1); }
@inline function row2(x: v128): v128 { return i32x4.shuffle(x, x, 2, 2, 2, 2); }
@inline function row3(x: v128): v128 { return i32x4.shuffle(x, x, 3, 3, 3, 3); }
