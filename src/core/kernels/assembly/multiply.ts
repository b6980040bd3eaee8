import { loadPartial, storePartial } from "./lanes";

// A block of columns of `right` that stays in cache is packed into panels of eight columns, padded with zeros. Four rows
// of `left`, packed as well, then meet one panel after the other with all 32 sums in registers, so that `out` is written
// row by row, once. Sums run over `inner` in order, in float32.

/** Bytes that the packed panels may take: what a second-level cache holds beside the rest. */
// @ts-ignore: decorator
@inline
const BLOCK_BYTES: usize = 1 << 17;

/** Columns that are packed at a time, a multiple of eight. */
function blockColumns(inner: i32, columns: i32): i32 {
  const most = <i32>max(BLOCK_BYTES / (<usize>max(inner, 1) << 5), 1) << 3;
  return min(most, (columns + 7) & ~7);
}

/** Bytes of scratch that {@link multiply} needs. */
export function multiplyScratch(inner: i32, columns: i32): usize {
  return <usize>inner * <usize>(blockColumns(inner, columns) + 4) * 4;
}

/** The first `present` of eight columns as low and high four, the others 0. */
// @ts-ignore: decorator
@inline
function loadLow(from: usize, present: i32): v128 {
  return present >= 4 ? v128.load(from) : loadPartial(from, present, 0);
}

// @ts-ignore: decorator
@inline
function loadHigh(from: usize, present: i32): v128 {
  return present >= 8 ? v128.load(from, 16) : loadPartial(from + 16, present - 4, 0);
}

/** Writes the first `present` of eight columns. */
// @ts-ignore: decorator
@inline
function storeColumns(to: usize, low: v128, high: v128, present: i32): void {
  if (present >= 8) {
    v128.store(to, low);
    v128.store(to, high, 16);
  } else if (present >= 4) {
    v128.store(to, low);
    storePartial(to + 16, high, present - 4);
  } else {
    storePartial(to, low, present);
  }
}

// @ts-ignore: decorator
@inline
function addProduct(sum: v128, left: v128, right: v128): v128 {
  return f32x4.add(sum, f32x4.mul(left, right));
}

/** Packs the `columns` columns at `from`, of rows `width` bytes apart, into panels at `to`. */
function packColumns(from: usize, width: usize, inner: i32, columns: i32, to: usize): void {
  for (let column = 0; column < columns; column += 8) {
    let row = from + ((<usize>column) << 2);
    for (let i = 0; i < inner; i++) {
      v128.store(to, loadLow(row, columns - column));
      v128.store(to, loadHigh(row, columns - column), 16);
      row += width;
      to += 32;
    }
  }
}

/** Packs the `rows` rows at `from`, of which there are one to four, entry by entry side by side, the absent ones 0. */
function packRows(from: usize, width: usize, rows: i32, to: usize): void {
  const second = rows > 1 ? from + width : 0;
  const third = rows > 2 ? from + 2 * width : 0;
  const fourth = rows > 3 ? from + 3 * width : 0;
  for (let at: usize = 0; at < width; at += 4) {
    store<f32>(to, load<f32>(from + at));
    store<f32>(to, second != 0 ? load<f32>(second + at) : 0, 4);
    store<f32>(to, third != 0 ? load<f32>(third + at) : 0, 8);
    store<f32>(to, fourth != 0 ? load<f32>(fourth + at) : 0, 12);
    to += 16;
  }
}

export function multiply(
  left: usize,
  right: usize,
  out: usize,
  rows: i32,
  inner: i32,
  columns: i32,
  accumulate: bool,
  scratch: usize,
): void {
  const leftWidth = (<usize>inner) << 2;
  const width = (<usize>columns) << 2;
  const zero = f32x4.splat(0);
  const blockWidth = blockColumns(inner, columns);
  const packed = scratch;
  const panels = scratch + (leftWidth << 2);
  const panelBytes = (<usize>inner) << 5;
  for (let first = 0; first < columns; first += blockWidth) {
    const present = min(columns - first, blockWidth);
    packColumns(right + ((<usize>first) << 2), width, inner, present, panels);
    for (let row = 0; row < rows; row += 4) {
      const presentRows = min(rows - row, 4);
      packRows(left + (<usize>row) * leftWidth, leftWidth, presentRows, packed);
      let to = out + (<usize>row) * width + ((<usize>first) << 2);
      let panel = panels;
      for (let column = 0; column < present; column += 8) {
        const here = present - column;
        let s00 = zero, s01 = zero, s10 = zero, s11 = zero, s20 = zero, s21 = zero, s30 = zero, s31 = zero;
        if (accumulate) {
          s00 = loadLow(to, here);
          s01 = loadHigh(to, here);
          if (presentRows > 1) {
            s10 = loadLow(to + width, here);
            s11 = loadHigh(to + width, here);
          }
          if (presentRows > 2) {
            s20 = loadLow(to + 2 * width, here);
            s21 = loadHigh(to + 2 * width, here);
          }
          if (presentRows > 3) {
            s30 = loadLow(to + 3 * width, here);
            s31 = loadHigh(to + 3 * width, here);
          }
        }
        let rowEntries = packed;
        for (const end = panel + panelBytes; panel < end; panel += 32) {
          const low = v128.load(panel);
          const high = v128.load(panel, 16);
          let entry = v128.load32_splat(rowEntries);
          s00 = addProduct(s00, entry, low);
          s01 = addProduct(s01, entry, high);
          entry = v128.load32_splat(rowEntries, 4);
          s10 = addProduct(s10, entry, low);
          s11 = addProduct(s11, entry, high);
          entry = v128.load32_splat(rowEntries, 8);
          s20 = addProduct(s20, entry, low);
          s21 = addProduct(s21, entry, high);
          entry = v128.load32_splat(rowEntries, 12);
          s30 = addProduct(s30, entry, low);
          s31 = addProduct(s31, entry, high);
          rowEntries += 16;
        }
        storeColumns(to, s00, s01, here);
        if (presentRows > 1) storeColumns(to + width, s10, s11, here);
        if (presentRows > 2) storeColumns(to + 2 * width, s20, s21, here);
        if (presentRows > 3) storeColumns(to + 3 * width, s30, s31, here);
        to += 32;
      }
    }
  }
}
