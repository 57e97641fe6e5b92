// C = A·B in f32. c[i,j] is a sum over segments of 64 k; within one, a chain in increasing k.
//
// For each segment and each panel of eight columns: the panel of B is packed, so that its rows lie side by side and a
// short last panel is padded with zeros; then tiles of four rows (or one) by eight columns stay in registers.
import { least } from "./rows";
import { count, Four, One } from "./types";

const SEGMENT: usize = 64;
const PANEL = memory.data(64 * 32, 16); // [SEGMENT, 8]
const CORNER = memory.data(4 * 32, 16); // [4, 8], stands in for C in the last panel

export function matmulF32(
  a: usize, aStride: usize, b: usize, bStride: usize, c: usize, cStride: usize, m: usize, k: usize, n: usize,
): void {
  for (let i: usize = 0; i < m; ++i) memory.fill(c + i * cStride, 0, 4 * n);
  for (let j: usize = 0; j < n; j += 8) {
    const width = min(n - j, 8);
    for (let start: usize = 0; start < k; start += SEGMENT) {
      const depth = min(k - start, SEGMENT);
      pack(b + start * bStride + 4 * j, bStride, depth, width);
      let aRow = a + 4 * start, cRow = c + 4 * j;
      let left = m;
      for (; left >= 4; left -= 4) {
        addTile<Four>(aRow, aStride, depth, cRow, cStride, width);
        aRow += 4 * aStride;
        cRow += 4 * cStride;
      }
      for (; left; --left) {
        addTile<One>(aRow, aStride, depth, cRow, cStride, width);
        aRow += aStride;
        cRow += cStride;
      }
    }
  }
  for (let i: usize = 0; i < m; ++i) amendRow(a + i * aStride, b, bStride, c + i * cStride, k, n);
}

function pack(b: usize, bStride: usize, depth: usize, width: usize): void {
  for (let row = PANEL; depth; --depth, row += 32, b += bStride) {
    if (width == 8) {
      v128.store(row, v128.load(b));
      v128.store(row, v128.load(b, 16), 16);
    } else {
      for (let e: usize = 0; e < 8; ++e) store<f32>(row + 4 * e, e < width ? load<f32>(b + 4 * e) : 0);
    }
  }
}

@inline function addTile<Rows>(
  a: usize, aStride: usize, depth: usize, c: usize, cStride: usize, width: usize,
): void {
  if (width == 8) return multiply<Rows>(a, aStride, depth, c, cStride);
  for (let row: usize = 0; row < count<Rows>(); ++row) memory.copy(CORNER + 32 * row, c + row * cStride, 4 * width);
  multiply<Rows>(a, aStride, depth, CORNER, 32);
  for (let row: usize = 0; row < count<Rows>(); ++row) memory.copy(c + row * cStride, CORNER + 32 * row, 4 * width);
}

/** C += A·PANEL for one or four rows of A. */
function multiply<Rows>(a: usize, aStride: usize, depth: usize, c: usize, cStride: usize): void {
  let a0 = a, a1 = a + aStride, a2 = a1 + aStride, a3 = a2 + aStride;
  let x0 = f32x4.splat(0), x1 = x0, x2 = x0, x3 = x0, y0 = x0, y1 = x0, y2 = x0, y3 = x0;
  for (let row = PANEL; depth; --depth, row += 32) {
    const x = v128.load(row), y = v128.load(row, 16);
    const f0 = v128.load32_splat(a0);
    x0 = f32x4.add(x0, f32x4.mul(f0, x));
    y0 = f32x4.add(y0, f32x4.mul(f0, y));
    a0 += 4;
    if (count<Rows>() == 4) {
      const f1 = v128.load32_splat(a1), f2 = v128.load32_splat(a2), f3 = v128.load32_splat(a3);
      x1 = f32x4.add(x1, f32x4.mul(f1, x));
      y1 = f32x4.add(y1, f32x4.mul(f1, y));
      x2 = f32x4.add(x2, f32x4.mul(f2, x));
      y2 = f32x4.add(y2, f32x4.mul(f2, y));
      x3 = f32x4.add(x3, f32x4.mul(f3, x));
      y3 = f32x4.add(y3, f32x4.mul(f3, y));
      a1 += 4;
      a2 += 4;
      a3 += 4;
    }
  }
  accumulate(c, x0, y0);
  if (count<Rows>() == 4) {
    accumulate(c + cStride, x1, y1);
    accumulate(c + 2 * cStride, x2, y2);
    accumulate(c + 3 * cStride, x3, y3);
  }
}

@inline function accumulate(c: usize, x: v128, y: v128): void {
  v128.store(c, f32x4.add(v128.load(c), x));
  v128.store(c, f32x4.add(v128.load(c, 16), y), 16);
}

/** Elements that f32 could not hold, or that may be sums of products that it could not: in f64, rounded once. */
function amendRow(a: usize, b: usize, bStride: usize, c: usize, k: usize, n: usize): void {
  for (let j: usize = 0; j < n; ++j) {
    const size = abs(load<f32>(c + 4 * j));
    if (size >= least() && size < <f32>Infinity) continue;
    const sum = exactDot(a, b + 4 * j, bStride, k);
    store<f32>(c + 4 * j, sum == sum ? <f32>sum : NaN);
  }
}

/** Row times column, in increasing k. */
function exactDot(a: usize, b: usize, bStride: usize, k: usize): f64 {
  let sum: f64 = 0;
  for (; k; --k, a += 4, b += bStride) sum += <f64>load<f32>(a) * <f64>load<f32>(b);
  return sum;
}
