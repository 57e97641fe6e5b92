// The rows of a tile: blocks of four, chunk by chunk, so that the four share each load of a vector; then one by one.
//
// A row's result does not depend on its block: sums have one order, and a block in which some row needs f64 is done
// row by row.
import { DECODED, LONGEST } from "./decoded";
import { dots } from "./dots";
import { exactChunk } from "./exact";
import { VECTOR_GROUP } from "./group";
import { putTails, TAIL_STRIDE, TAILS, takeTails } from "./tails";
import { count, Four, isF16, One, Two, Zero } from "./types";
import { update } from "./update";

/**
 * Coefficients must stay below this to take the f32 path: 2^125, so that four products can be added; for F16 2^40, far
 * beyond any sum of its numbers, so that what is rounded stays in the range of its codec.
 */
@inline export function limit<D>(): f32 { return reinterpret<f32>(isF16<D>() ? 0x53800000 : 0x7e000000); }

/**
 * Sums must not be below this, 2^-100, to take the f32 path. A product of f32 below 2^-126 loses digits, each time up to
 * half of F32's smallest step; here and above that is nothing beside the rounding of the sums. F16 and BF16, whose steps
 * are far larger, could do without, but should get the bytes that they get when they are decoded to F32 first.
 */
@inline export function least(): f32 { return reinterpret<f32>(0x0d800000); }

/** Absent vectors are 0. The sides are specialised for as many vectors as they have, both for the larger number. */
export function transform<D>(
  tile: usize, rowCount: usize, rowStride: usize, chunkCount: usize, n: usize,
  u: usize, v: usize, vectorStride: usize, alpha: f32, beta: f32,
  p: usize, q: usize, s: usize, t: usize, s64: usize, t64: usize, exact: bool,
): void {
  if (exact) {
    exactRows<D>(tile, rowCount, rowStride, chunkCount, n, u, v, vectorStride, alpha, beta, p, q, s64, t64);
  } else if (!u && !p) {
    return;
  } else if (!p) {
    const stride = vectorStride;
    if (v) rows<D, Two, Zero>(tile, rowCount, rowStride, chunkCount, n, u, v, stride, alpha, beta, 0, 0, 0, 0, 0, 0);
    else rows<D, One, Zero>(tile, rowCount, rowStride, chunkCount, n, u, 0, stride, alpha, 0, 0, 0, 0, 0, 0, 0);
  } else if (!u) {
    if (q) rows<D, Zero, Two>(tile, rowCount, rowStride, chunkCount, n, 0, 0, 0, 0, 0, p, q, s, t, 0, 0);
    else rows<D, Zero, One>(tile, rowCount, rowStride, chunkCount, n, 0, 0, 0, 0, 0, p, 0, s, 0, 0, 0);
  } else if (v || q) {
    rows<D, Two, Two>(tile, rowCount, rowStride, chunkCount, n, u, v, vectorStride, alpha, beta, p, q, s, t, s64, t64);
  } else {
    rows<D, One, One>(tile, rowCount, rowStride, chunkCount, n, u, 0, vectorStride, alpha, 0, p, 0, s, 0, s64, 0);
  }
}

function rows<D, Right, Left>(
  tile: usize, rowCount: usize, rowStride: usize, chunkCount: usize, n: usize,
  u: usize, v: usize, vectorStride: usize, alpha: f32, beta: f32,
  p: usize, q: usize, s: usize, t: usize, s64: usize, t64: usize,
): void {
  if (isF16<D>() && count<Right>() != 0 && n <= LONGEST) {
    blocks<D, Right, Left, One>(
      tile, rowCount, rowStride, chunkCount, n, u, v, vectorStride, alpha, beta, p, q, s, t, s64, t64,
    );
  } else {
    blocks<D, Right, Left, Zero>(
      tile, rowCount, rowStride, chunkCount, n, u, v, vectorStride, alpha, beta, p, q, s, t, s64, t64,
    );
  }
}

/** Kept is One where the update finds the elements as the dots left them, and Zero where it decodes them again. */
function blocks<D, Right, Left, Kept>(
  tile: usize, rowCount: usize, rowStride: usize, chunkCount: usize, n: usize,
  u: usize, v: usize, vectorStride: usize, alpha: f32, beta: f32,
  p: usize, q: usize, s: usize, t: usize, s64: usize, t64: usize,
): void {
  for (; rowCount >= 4; rowCount -= 4) {
    chunks<D, Four, Right, Left, Kept>(
      tile, rowStride, chunkCount, n, u, v, vectorStride, alpha, beta, p, q, s, t, s64, t64,
    );
    tile += 4 * rowStride;
    p += 16;
    if (q) q += 16;
  }
  for (; rowCount; --rowCount) {
    chunks<D, One, Right, Left, Kept>(
      tile, rowStride, chunkCount, n, u, v, vectorStride, alpha, beta, p, q, s, t, s64, t64,
    );
    tile += rowStride;
    p += 4;
    if (q) q += 4;
  }
}

function chunks<D, Rows, Right, Left, Kept>(
  w: usize, stride: usize, chunkCount: usize, n: usize,
  u: usize, v: usize, vectorStride: usize, alpha: f32, beta: f32,
  p: usize, q: usize, s: usize, t: usize, s64: usize, t64: usize,
): void {
  const zero = f32x4.splat(0);
  const pRows = count<Left>() ? coefficients<Rows>(p) : zero;
  const qRows = count<Left>() == 2 && q ? coefficients<Rows>(q) : zero;
  const vectorBytes = ((n + 7) >> 3) * VECTOR_GROUP;
  const tailBytes = (n & 7) * sizeof<D>();
  const wholeGroups = n >> 3;
  const wholeBytes = n * sizeof<D>() - tailBytes;
  // Where one side has two vectors and the other one, that one counts twice, the second time with coefficient 0.
  let chunkV: usize = count<Right>() == 2 ? (v ? v : u) : 0;
  let chunkT: usize = count<Left>() == 2 ? (t ? t : s) : 0;
  for (; chunkCount; --chunkCount) {
    if (tailBytes) takeTails(w + wholeBytes, stride, tailBytes, count<Rows>());
    let cu = zero, cv = zero;
    let fits = true;
    if (count<Right>()) {
      const du = dots<D, Rows, Kept>(w, stride, n, u);
      cu = f32x4.mul(f32x4.splat(alpha), du);
      fits = fit<D>(cu);
      // A sum that is large enough vouches for its chunk: no need to look at the other one too.
      fits = fits && i32x4.all_true(f32x4.ge(f32x4.abs(du), f32x4.splat(least())));
      if (count<Right>() == 2 && v) {
        cv = f32x4.mul(f32x4.splat(beta), dots<D, Rows, Zero>(w, stride, n, chunkV));
        fits = fits && fit<D>(cv);
      }
    }
    if (fits) {
      update<D, Rows, Right, Left, Kept>(
        w, stride, wholeGroups, DECODED, u, chunkV, s, chunkT, cu, cv, pRows, qRows,
      );
      if (tailBytes) {
        const done = wholeGroups * VECTOR_GROUP;
        update<D, Rows, Right, Left, Kept>(
          TAILS, TAIL_STRIDE, 1, DECODED + count<Rows>() * done,
          u + done, chunkV + done, s + done, chunkT + done, cu, cv, pRows, qRows,
        );
        putTails(w + wholeBytes, stride, tailBytes, count<Rows>());
      }
    } else if (count<Rows>() == 4) {
      for (let row: usize = 0; row < 4; ++row) {
        chunks<D, One, Right, Left, Kept>(
          w + row * stride, stride, 1, n, u, v ? chunkV : 0, vectorStride, alpha, beta,
          p + 4 * row, q ? q + 4 * row : 0, s, t ? chunkT : 0, s64, t64,
        );
      }
    } else {
      exactChunk<D>(
        w, n, u, v ? chunkV : 0, alpha, beta,
        count<Left>() ? load<f32>(p) : 0, count<Left>() == 2 && q ? load<f32>(q) : 0, s64, t64,
      );
    }
    w += n * sizeof<D>();
    if (count<Right>()) u += vectorStride;
    if (count<Right>() == 2) chunkV += vectorStride;
    if (count<Left>()) {
      s += vectorBytes;
      chunkT += vectorBytes;
      if (s64) s64 += 8 * n;
      if (t64) t64 += 8 * n;
    }
  }
}

function exactRows<D>(
  tile: usize, rowCount: usize, rowStride: usize, chunkCount: usize, n: usize,
  u: usize, v: usize, vectorStride: usize, alpha: f32, beta: f32,
  p: usize, q: usize, s64: usize, t64: usize,
): void {
  for (let row: usize = 0; row < rowCount; ++row) {
    const pRow = p ? load<f32>(p + 4 * row) : 0;
    const qRow = q ? load<f32>(q + 4 * row) : 0;
    for (let chunk: usize = 0; chunk < chunkCount; ++chunk) {
      exactChunk<D>(
        tile + row * rowStride + chunk * n * sizeof<D>(), n,
        u ? u + chunk * vectorStride : 0, v ? v + chunk * vectorStride : 0, alpha, beta,
        pRow, qRow, s64 ? s64 + 8 * chunk * n : 0, t64 ? t64 + 8 * chunk * n : 0,
      );
    }
  }
}

/** Four rows' coefficients in lanes, or one in all lanes. */
@inline function coefficients<Rows>(address: usize): v128 {
  return count<Rows>() == 4 ? v128.load(address) : v128.load32_splat(address);
}

@inline function fit<D>(c: v128): bool {
  return i32x4.all_true(f32x4.lt(f32x4.abs(c), f32x4.splat(limit<D>())));
}
