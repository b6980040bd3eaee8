import { loadPartial, storePartial } from "./lanes";

// Eight columns of `right` at a time are packed into a contiguous panel, padded with zeros; then four rows of `left`
// meet it with all 32 sums in registers. Sums run over `inner` in order, in float32.

/** Bytes of scratch that {@link multiply} needs. */
export function multiplyScratch(inner: i32): usize {
  return (<usize>inner) << 5;
}

/** Columns [0, 4) or [4, 8) of a panel, of which `present` are in the matrix. */
// @ts-ignore: decorator
@inline
function loadColumns(from: usize, present: i32): v128 {
  return present >= 4 ? v128.load(from) : loadPartial(from, present, 0);
}

// @ts-ignore: decorator
@inline
function storeColumns(to: usize, lanes: v128, present: i32): void {
  if (present >= 4) v128.store(to, lanes);
  else storePartial(to, lanes, present);
}

// @ts-ignore: decorator
@inline
function addProduct(sum: v128, left: v128, right: v128): v128 {
  return f32x4.add(sum, f32x4.mul(left, right));
}

export function multiply(
  left: usize,
  right: usize,
  out: usize,
  rows: i32,
  inner: i32,
  columns: i32,
  accumulate: bool,
  panel: usize,
): void {
  const leftWidth = (<usize>inner) << 2;
  const width = (<usize>columns) << 2;
  const zero = f32x4.splat(0);
  for (let column = 0; column < columns; column += 8) {
    const low = min(columns - column, 4);
    const high = min(columns - column - 4, 4);
    for (let i: usize = 0; i < <usize>inner; i++) {
      const from = right + i * width + ((<usize>column) << 2);
      v128.store(panel + (i << 5), loadColumns(from, low));
      v128.store(panel + (i << 5), high > 0 ? loadColumns(from + 16, high) : zero, 16);
    }
    let row = 0;
    for (; row + 4 <= rows; row += 4) {
      const a0 = left + (<usize>row) * leftWidth;
      const a1 = a0 + leftWidth;
      const a2 = a1 + leftWidth;
      const a3 = a2 + leftWidth;
      const c0 = out + (<usize>row) * width + ((<usize>column) << 2);
      const c1 = c0 + width;
      const c2 = c1 + width;
      const c3 = c2 + width;
      let s00 = zero, s01 = zero, s10 = zero, s11 = zero, s20 = zero, s21 = zero, s30 = zero, s31 = zero;
      if (accumulate) {
        s00 = loadColumns(c0, low);
        s10 = loadColumns(c1, low);
        s20 = loadColumns(c2, low);
        s30 = loadColumns(c3, low);
        if (high > 0) {
          s01 = loadColumns(c0 + 16, high);
          s11 = loadColumns(c1 + 16, high);
          s21 = loadColumns(c2 + 16, high);
          s31 = loadColumns(c3 + 16, high);
        }
      }
      for (let i: usize = 0; i < leftWidth; i += 4) {
        const b0 = v128.load(panel + (i << 3));
        const b1 = v128.load(panel + (i << 3), 16);
        let a = v128.load32_splat(a0 + i);
        s00 = addProduct(s00, a, b0);
        s01 = addProduct(s01, a, b1);
        a = v128.load32_splat(a1 + i);
        s10 = addProduct(s10, a, b0);
        s11 = addProduct(s11, a, b1);
        a = v128.load32_splat(a2 + i);
        s20 = addProduct(s20, a, b0);
        s21 = addProduct(s21, a, b1);
        a = v128.load32_splat(a3 + i);
        s30 = addProduct(s30, a, b0);
        s31 = addProduct(s31, a, b1);
      }
      storeColumns(c0, s00, low);
      storeColumns(c1, s10, low);
      storeColumns(c2, s20, low);
      storeColumns(c3, s30, low);
      if (high > 0) {
        storeColumns(c0 + 16, s01, high);
        storeColumns(c1 + 16, s11, high);
        storeColumns(c2 + 16, s21, high);
        storeColumns(c3 + 16, s31, high);
      }
    }
    for (; row < rows; row++) {
      const a0 = left + (<usize>row) * leftWidth;
      const c0 = out + (<usize>row) * width + ((<usize>column) << 2);
      let s0 = accumulate ? loadColumns(c0, low) : zero;
      let s1 = accumulate && high > 0 ? loadColumns(c0 + 16, high) : zero;
      for (let i: usize = 0; i < leftWidth; i += 4) {
        const a = v128.load32_splat(a0 + i);
        s0 = addProduct(s0, a, v128.load(panel + (i << 3)));
        s1 = addProduct(s1, a, v128.load(panel + (i << 3), 16));
      }
      storeColumns(c0, s0, low);
      if (high > 0) storeColumns(c0 + 16, s1, high);
    }
  }
}
