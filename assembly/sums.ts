// Finished sums of a block of rows, x = ũᵀW: reflected as the rows will be, (ũᵀW)H = ũᵀ(W H), scaled, and put where the
// update reads them. In f64 throughout, eight elements at a time; the f32 copy is rounded once.
import { lane, VECTOR_GROUP, widen } from "./group";
import { least, limit } from "./rows";
import { count, isF32, One, Two, Zero } from "./types";

/** Bytes of eight f64. */
const GROUP: usize = 64;

/** The last n mod 8 sums of a chunk, zero-padded. */
const TAIL = memory.data(64, 16);

/** True if some x does not fit the f32 path. Absent vectors are 0. */
export function prepare<D>(
  sums: usize, chunkCount: usize, n: usize,
  u: usize, v: usize, vectorStride: usize, alpha: f64, beta: f64,
  scale: f64, target: usize,
): bool {
  let fits = true;
  for (; chunkCount; --chunkCount) {
    if (!u) fits = chunk<D, Zero>(sums, n, u, v, 0, 0, scale, target) && fits;
    else if (!v) fits = chunk<D, One>(sums, n, u, v, alpha, 0, scale, target) && fits;
    else fits = chunk<D, Two>(sums, n, u, v, alpha, beta, scale, target) && fits;
    sums += 8 * n;
    target += ((n + 7) >> 3) * VECTOR_GROUP;
    if (u) u += vectorStride;
    if (v) v += vectorStride;
  }
  return !fits;
}

function chunk<D, Right>(
  x: usize, n: usize, u: usize, v: usize, alpha: f64, beta: f64, scale: f64, target: usize,
): bool {
  const groups = n >> 3, tailBytes: usize = 8 * (n & 7);
  const tail = x + groups * GROUP, done = groups * VECTOR_GROUP;
  if (tailBytes) {
    memory.fill(TAIL, 0, GROUP);
    memory.copy(TAIL, tail, tailBytes);
  }
  const cu = count<Right>() >= 1 ? alpha * dot<D>(x, n, u) : 0;
  const cv = count<Right>() == 2 ? beta * dot<D>(x, n, v) : 0;
  let fits = reflect<D, Right>(x, groups, u, v, cu, cv, scale, target);
  if (tailBytes) {
    fits = reflect<D, Right>(TAIL, 1, u + done, v + done, cu, cv, scale, target + done) && fits;
    memory.copy(tail, TAIL, tailBytes);
    for (let e = n; e & 7; ++e) store<f32>(target + lane<D>(e), 0);
  }
  return fits;
}

/** x ← scale·(x - cu·û + cv·v̂), and its f32 form at `target`. False if some x does not fit the f32 path. */
function reflect<D, Right>(
  x: usize, groups: usize, u: usize, v: usize, cu: f64, cv: f64, scale: f64, target: usize,
): bool {
  const cus = f64x2.splat(cu), cvs = f64x2.splat(cv), scales = f64x2.splat(scale);
  let fits = i64x2.splat(-1);
  for (; groups; --groups) {
    const x0 = f64x2.mul(reflected<D, Right>(x, 0, u, v, cus, cvs), scales);
    const x1 = f64x2.mul(reflected<D, Right>(x, 1, u, v, cus, cvs), scales);
    const x2 = f64x2.mul(reflected<D, Right>(x, 2, u, v, cus, cvs), scales);
    const x3 = f64x2.mul(reflected<D, Right>(x, 3, u, v, cus, cvs), scales);
    fits = v128.and(fits, v128.and(v128.and(fit<D>(x0), fit<D>(x1)), v128.and(fit<D>(x2), fit<D>(x3))));
    v128.store(x, x0);
    v128.store(x, x1, 16);
    v128.store(x, x2, 32);
    v128.store(x, x3, 48);
    const low = i64x2.shuffle(f32x4.demote_f64x2_zero(x0), f32x4.demote_f64x2_zero(x1), 0, 2);
    const high = i64x2.shuffle(f32x4.demote_f64x2_zero(x2), f32x4.demote_f64x2_zero(x3), 0, 2);
    v128.store(target, isF32<D>() ? low : i32x4.shuffle(low, high, 0, 2, 4, 6));
    v128.store(target, isF32<D>() ? high : i32x4.shuffle(low, high, 1, 3, 5, 7), 16);
    x += GROUP;
    u += VECTOR_GROUP;
    v += VECTOR_GROUP;
    target += VECTOR_GROUP;
  }
  return i64x2.all_true(fits);
}

/** Lanes of ones where |x| is below the limit, and 0 or not below the least that products of f32 are right for. */
@inline function fit<D>(x: v128): v128 {
  const size = f64x2.abs(x);
  const below = f64x2.lt(size, f64x2.splat(<f64>limit<D>()));
  return v128.and(below, v128.or(f64x2.ge(size, f64x2.splat(<f64>least())), f64x2.eq(size, f64x2.splat(0))));
}

@inline function reflected<D, Right>(x: usize, pair: usize, u: usize, v: usize, cu: v128, cv: v128): v128 {
  const own = v128.load(x + 16 * pair);
  if (count<Right>() == 0) return own;
  const minus = f64x2.mul(cu, widen<D>(u, pair));
  if (count<Right>() == 1) return f64x2.sub(own, minus);
  return f64x2.add(own, f64x2.sub(f64x2.mul(cv, widen<D>(v, pair)), minus));
}

/** Σ x[e]·u[e]: eight strided sums, e mod 8, then by halves, as in `dots.ts`. The tail of x is read from TAIL. */
function dot<D>(x: usize, n: usize, u: usize): f64 {
  let s0 = f64x2.splat(0), s1 = s0, s2 = s0, s3 = s0;
  for (let groups = (n + 7) >> 3; groups; --groups) {
    if (groups == 1 && n & 7) x = TAIL;
    s0 = f64x2.add(s0, f64x2.mul(v128.load(x), widen<D>(u, 0)));
    s1 = f64x2.add(s1, f64x2.mul(v128.load(x, 16), widen<D>(u, 1)));
    s2 = f64x2.add(s2, f64x2.mul(v128.load(x, 32), widen<D>(u, 2)));
    s3 = f64x2.add(s3, f64x2.mul(v128.load(x, 48), widen<D>(u, 3)));
    x += GROUP;
    u += VECTOR_GROUP;
  }
  const halves = f64x2.add(f64x2.add(s0, s2), f64x2.add(s1, s3));
  return f64x2.extract_lane(halves, 0) + f64x2.extract_lane(halves, 1);
}
