import { loadPartial, storePartial } from "../lanes";

// All products share one tile. A block of columns of the right factor that stays in cache is packed into panels of eight
// columns. Four rows of the left factor, packed side by side into a strip, then meet one panel after the other with all
// 32 sums in registers, so that `out` is written row by row, once. Sums run over `inner` in order, in float32. A
// transposed factor only changes how strips or panels are packed.

/** Bytes that the packed panels may take: what a second-level cache holds beside the rest. */
// @ts-ignore: decorator
@inline
const BLOCK_BYTES: usize = 1 << 17;

/** Rows over which a product of columns sums at a time. */
// @ts-ignore: decorator
@inline
const MOST_ROWS: i32 = 256;

/** Bytes of scratch that a product of columns needs, over however many rows. */
export function columnsScratch(): usize {
  return stripBytes(MOST_ROWS) + BLOCK_BYTES;
}

/** Columns that are packed at a time, a multiple of eight. */
export function blockColumns(inner: i32, columns: i32): i32 {
  const most = <i32>max(BLOCK_BYTES / (<usize>max(inner, 1) << 5), 1) << 3;
  return min(most, (columns + 7) & ~7);
}

/** Bytes of scratch that a product needs. */
export function multiplyScratch(inner: i32, columns: i32): usize {
  return <usize>inner * <usize>(blockColumns(inner, columns) + 4) * 4;
}

/** Bytes of a strip, which comes first in the scratch; the panels follow. */
// @ts-ignore: decorator
@inline
export function stripBytes(inner: i32): usize {
  return (<usize>inner) << 4;
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

/**
 * Address of row `row` of a matrix at `from`, whose rows are `width` bytes long. With `index` ≠ 0, the row that the int32
 * number `row` there names.
 */
// @ts-ignore: decorator
@inline
export function rowOf(from: usize, width: usize, index: usize, row: i32): usize {
  const named = index != 0 ? load<i32>(index + ((<usize>row) << 2)) : row;
  return from + <usize>named * width;
}

/** The float32 number `row` at `scale` in all lanes; 1 if `scale` is 0. */
// @ts-ignore: decorator
@inline
function scaleOf(scale: usize, row: i32): v128 {
  return scale != 0 ? v128.load32_splat(scale + ((<usize>row) << 2)) : f32x4.splat(1);
}

/** Packs columns `first` … of the rows [`start`, `end`), times their scale, into panels of eight, padded with zeros. */
export function packColumns(
  from: usize,
  width: usize,
  index: usize,
  scale: usize,
  start: i32,
  end: i32,
  first: i32,
  columns: i32,
  to: usize,
): void {
  for (let column = 0; column < columns; column += 8) {
    const offset = (<usize>(first + column)) << 2;
    const here = columns - column;
    for (let row = start; row < end; row++) {
      const at = rowOf(from, width, index, row) + offset;
      let low = loadLow(at, here);
      let high = loadHigh(at, here);
      if (scale != 0) {
        const factor = scaleOf(scale, row);
        low = f32x4.mul(low, factor);
        high = f32x4.mul(high, factor);
      }
      v128.store(to, low);
      v128.store(to, high, 16);
      to += 32;
    }
  }
}

/**
 * Packs four rows of `width` bytes, times their scales, entry by entry side by side, `step` bytes from one entry to the
 * next.
 */
// @ts-ignore: decorator
@inline
function interleave(
  a: usize,
  b: usize,
  c: usize,
  d: usize,
  width: usize,
  isScaled: bool,
  aScale: v128,
  bScale: v128,
  cScale: v128,
  dScale: v128,
  to: usize,
  step: usize,
): void {
  let at: usize = 0;
  for (; at + 16 <= width; at += 16) {
    let p = v128.load(a + at);
    let q = v128.load(b + at);
    let r = v128.load(c + at);
    let s = v128.load(d + at);
    if (isScaled) {
      p = f32x4.mul(p, aScale);
      q = f32x4.mul(q, bScale);
      r = f32x4.mul(r, cScale);
      s = f32x4.mul(s, dScale);
    }
    const pq = v128.shuffle<i32>(p, q, 0, 4, 1, 5);
    const rs = v128.shuffle<i32>(r, s, 0, 4, 1, 5);
    const pqHigh = v128.shuffle<i32>(p, q, 2, 6, 3, 7);
    const rsHigh = v128.shuffle<i32>(r, s, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<i64>(pq, rs, 0, 2));
    v128.store(to + step, v128.shuffle<i64>(pq, rs, 1, 3));
    v128.store(to + 2 * step, v128.shuffle<i64>(pqHigh, rsHigh, 0, 2));
    v128.store(to + 3 * step, v128.shuffle<i64>(pqHigh, rsHigh, 1, 3));
    to += 4 * step;
  }
  for (; at < width; at += 4) {
    let entries = f32x4.splat(load<f32>(a + at));
    entries = f32x4.replace_lane(entries, 1, load<f32>(b + at));
    entries = f32x4.replace_lane(entries, 2, load<f32>(c + at));
    entries = f32x4.replace_lane(entries, 3, load<f32>(d + at));
    if (isScaled) {
      let scales = aScale;
      scales = f32x4.replace_lane(scales, 1, f32x4.extract_lane(bScale, 0));
      scales = f32x4.replace_lane(scales, 2, f32x4.extract_lane(cScale, 0));
      scales = f32x4.replace_lane(scales, 3, f32x4.extract_lane(dScale, 0));
      entries = f32x4.mul(entries, scales);
    }
    v128.store(to, entries);
    to += step;
  }
}

/** Packs rows `row` … `row + 3`, or as many as there are before `end`, into a strip. What is absent is not 0 but unused. */
export function packRows(
  from: usize,
  width: usize,
  index: usize,
  scale: usize,
  row: i32,
  end: i32,
  to: usize,
): void {
  const last = end - 1;
  const second = min(row + 1, last);
  const third = min(row + 2, last);
  const fourth = min(row + 3, last);
  interleave(
    rowOf(from, width, index, row),
    rowOf(from, width, index, second),
    rowOf(from, width, index, third),
    rowOf(from, width, index, fourth),
    width,
    scale != 0,
    scaleOf(scale, row),
    scaleOf(scale, second),
    scaleOf(scale, third),
    scaleOf(scale, fourth),
    to,
    16,
  );
}

/** Packs the rows `first` … as the columns of panels of eight. What is absent in the last is not 0 but unused. */
export function packTransposed(from: usize, width: usize, first: i32, columns: i32, to: usize): void {
  const panelBytes = width << 3;
  const last = first + columns - 1;
  const one = f32x4.splat(1);
  for (let column = first; column <= last; column += 8) {
    for (let half = 0; half < 2; half++) {
      const row = column + 4 * half;
      interleave(
        from + <usize>min(row, last) * width,
        from + <usize>min(row + 1, last) * width,
        from + <usize>min(row + 2, last) * width,
        from + <usize>min(row + 3, last) * width,
        width,
        false,
        one,
        one,
        one,
        one,
        to + ((<usize>half) << 4),
        32,
      );
    }
    to += panelBytes;
  }
}

/** Packs columns `column` … `column + 3`, or as many as there are, of the rows [`start`, `end`) into a strip. */
export function packColumnStrip(
  from: usize,
  width: usize,
  index: usize,
  start: i32,
  end: i32,
  column: i32,
  columns: i32,
  to: usize,
): void {
  const present = columns - column;
  const offset = (<usize>column) << 2;
  for (let row = start; row < end; row++) {
    v128.store(to, loadLow(rowOf(from, width, index, row) + offset, present));
    to += 16;
  }
}

/**
 * Multiplies a strip of `rows` ≤ 4 rows with the panels of `columns` columns, and writes rows `width` bytes apart to `to`.
 * Sums begin with the row of `offset` if that is not 0, with `out` when `accumulate`, else with 0. With `relu`, negative sums
 * become 0; with a `mask` ≠ 0, laid out as `out`, sums become 0 where it is not positive.
 */
// @ts-ignore: decorator
@inline
export function multiplyStrip(
  strip: usize,
  panels: usize,
  inner: i32,
  rows: i32,
  columns: i32,
  to: usize,
  width: usize,
  accumulate: bool,
  offset: usize,
  relu: bool,
  mask: usize,
): void {
  const zero = f32x4.splat(0);
  const panelBytes = (<usize>inner) << 5;
  let panel = panels;
  for (let column = 0; column < columns; column += 8) {
    const here = columns - column;
    let s00 = zero, s01 = zero, s10 = zero, s11 = zero, s20 = zero, s21 = zero, s30 = zero, s31 = zero;
    if (offset != 0) {
      s00 = loadLow(offset, here);
      s01 = loadHigh(offset, here);
      s10 = s00;
      s11 = s01;
      s20 = s00;
      s21 = s01;
      s30 = s00;
      s31 = s01;
      offset += 32;
    } else if (accumulate) {
      s00 = loadLow(to, here);
      s01 = loadHigh(to, here);
      if (rows > 1) {
        s10 = loadLow(to + width, here);
        s11 = loadHigh(to + width, here);
      }
      if (rows > 2) {
        s20 = loadLow(to + 2 * width, here);
        s21 = loadHigh(to + 2 * width, here);
      }
      if (rows > 3) {
        s30 = loadLow(to + 3 * width, here);
        s31 = loadHigh(to + 3 * width, here);
      }
    }
    let rowEntries = strip;
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
    if (relu) {
      s00 = f32x4.max(s00, zero);
      s01 = f32x4.max(s01, zero);
      s10 = f32x4.max(s10, zero);
      s11 = f32x4.max(s11, zero);
      s20 = f32x4.max(s20, zero);
      s21 = f32x4.max(s21, zero);
      s30 = f32x4.max(s30, zero);
      s31 = f32x4.max(s31, zero);
    }
    if (mask != 0) {
      s00 = v128.and(s00, f32x4.gt(loadLow(mask, here), zero));
      s01 = v128.and(s01, f32x4.gt(loadHigh(mask, here), zero));
      if (rows > 1) {
        s10 = v128.and(s10, f32x4.gt(loadLow(mask + width, here), zero));
        s11 = v128.and(s11, f32x4.gt(loadHigh(mask + width, here), zero));
      }
      if (rows > 2) {
        s20 = v128.and(s20, f32x4.gt(loadLow(mask + 2 * width, here), zero));
        s21 = v128.and(s21, f32x4.gt(loadHigh(mask + 2 * width, here), zero));
      }
      if (rows > 3) {
        s30 = v128.and(s30, f32x4.gt(loadLow(mask + 3 * width, here), zero));
        s31 = v128.and(s31, f32x4.gt(loadHigh(mask + 3 * width, here), zero));
      }
      mask += 32;
    }
    storeColumns(to, s00, s01, here);
    if (rows > 1) storeColumns(to + width, s10, s11, here);
    if (rows > 2) storeColumns(to + 2 * width, s20, s21, here);
    if (rows > 3) storeColumns(to + 3 * width, s30, s31, here);
    to += 32;
  }
}

/**
 * `out` = `left` · `right` on the rows [`start`, `end`) of `out`; the rows of `left` are those that `index` names (see
 * `rowOf`), and `offset` and `relu` are as for `multiplyStrip`.
 */
export function multiplyRows(
  left: usize,
  index: usize,
  start: i32,
  end: i32,
  right: usize,
  out: usize,
  inner: i32,
  columns: i32,
  accumulate: bool,
  offset: usize,
  relu: bool,
  scratch: usize,
): void {
  const leftWidth = (<usize>inner) << 2;
  const width = (<usize>columns) << 2;
  const blockWidth = blockColumns(inner, columns);
  const panels = scratch + stripBytes(inner);
  for (let first = 0; first < columns; first += blockWidth) {
    const present = min(columns - first, blockWidth);
    const at = (<usize>first) << 2;
    packColumns(right, width, 0, 0, 0, inner, first, present, panels);
    for (let row = start; row < end; row += 4) {
      packRows(left, leftWidth, index, 0, row, end, scratch);
      const to = out + <usize>row * width + at;
      const offsetHere = offset != 0 ? offset + at : 0;
      multiplyStrip(scratch, panels, inner, min(end - row, 4), present, to, width, accumulate, offsetHere, relu, 0);
    }
  }
}

/**
 * `out` = `left` · `right`ᵀ on the rows [`start`, `end`) of `out`, with `right` `[columns × inner]`; the rows of `left` are
 * those that `index` names, times their `scale`, and `mask` is as for `multiplyStrip`.
 */
export function multiplyRowsTransposed(
  left: usize,
  index: usize,
  scale: usize,
  start: i32,
  end: i32,
  right: usize,
  out: usize,
  inner: i32,
  columns: i32,
  accumulate: bool,
  mask: usize,
  scratch: usize,
): void {
  const leftWidth = (<usize>inner) << 2;
  const width = (<usize>columns) << 2;
  const blockWidth = blockColumns(inner, columns);
  const panels = scratch + stripBytes(inner);
  for (let first = 0; first < columns; first += blockWidth) {
    const present = min(columns - first, blockWidth);
    packTransposed(right, leftWidth, first, present, panels);
    for (let row = start; row < end; row += 4) {
      packRows(left, leftWidth, index, scale, row, end, scratch);
      const at = <usize>row * width + ((<usize>first) << 2);
      const maskHere = mask != 0 ? mask + at : 0;
      multiplyStrip(
        scratch, panels, inner, min(end - row, 4), present, out + at, width, accumulate, 0, false, maskHere,
      );
    }
  }
}

/**
 * `out` `[leftColumns × columns]` = `left`ᵀ · `right` over the rows [`start`, `end`), which `leftIndex` and `rightIndex` name
 * (see `rowOf`); those of `right` times their `scale`.
 */
export function multiplyColumns(
  left: usize,
  leftIndex: usize,
  start: i32,
  end: i32,
  right: usize,
  rightIndex: usize,
  scale: usize,
  out: usize,
  leftColumns: i32,
  columns: i32,
  scratch: usize,
): void {
  const leftWidth = (<usize>leftColumns) << 2;
  const width = (<usize>columns) << 2;
  if (start == end) memory.fill(out, 0, <usize>leftColumns * width);
  // With few rows at a time a block holds many columns, and strips are packed for few blocks.
  for (let begin = start; begin < end; begin += MOST_ROWS) {
    const stop = min(begin + MOST_ROWS, end);
    const inner = stop - begin;
    const blockWidth = blockColumns(inner, columns);
    const panels = scratch + stripBytes(inner);
    for (let first = 0; first < columns; first += blockWidth) {
      const present = min(columns - first, blockWidth);
      packColumns(right, width, rightIndex, scale, begin, stop, first, present, panels);
      for (let row = 0; row < leftColumns; row += 4) {
        packColumnStrip(left, leftWidth, leftIndex, begin, stop, row, leftColumns, scratch);
        const to = out + <usize>row * width + ((<usize>first) << 2);
        const rows = min(leftColumns - row, 4);
        multiplyStrip(scratch, panels, inner, rows, present, to, width, begin > start, 0, false, 0);
      }
    }
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
  multiplyRows(left, 0, 0, rows, right, out, inner, columns, accumulate, 0, false, scratch);
}

export function multiplyRightTransposed(
  left: usize,
  right: usize,
  out: usize,
  rows: i32,
  inner: i32,
  columns: i32,
  accumulate: bool,
  scratch: usize,
): void {
  multiplyRowsTransposed(left, 0, 0, 0, rows, right, out, inner, columns, accumulate, 0, scratch);
}

export function multiplyLeftTransposed(
  left: usize,
  right: usize,
  out: usize,
  rows: i32,
  leftColumns: i32,
  columns: i32,
  scratch: usize,
): void {
  multiplyColumns(left, 0, 0, rows, right, 0, 0, out, leftColumns, columns, scratch);
}
