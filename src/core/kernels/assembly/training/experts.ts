import { loadPartial, promoteHigh, promoteLow, storePartial, sumLanes64 } from "../lanes";
import { columnsScratch, multiplyColumns, multiplyRows, multiplyRowsTransposed, multiplyScratch, rowOf } from "./multiply";

// An expert's parameters are one block: A [width × hidden], a [hidden], B [hidden × width], b [width]. Its gradient has the
// same layout. The pairs of an expert are the rows [start, end) of arrays by pair; `token` names each pair's token.

/** Bytes of scratch that {@link expertForward} and {@link expertBackward} need. */
export function expertScratch(width: i32, hidden: i32): usize {
  return max(columnsScratch(), max(multiplyScratch(width, hidden), multiplyScratch(hidden, width)));
}

export function expertForward(
  tokens: usize,
  token: usize,
  start: i32,
  end: i32,
  parameters: usize,
  width: i32,
  hidden: i32,
  inner: usize,
  output: usize,
  scratch: usize,
): void {
  const matrix = ((<usize>width) * <usize>hidden) << 2;
  const intoOffset = parameters + matrix;
  const outOf = intoOffset + ((<usize>hidden) << 2);
  multiplyRows(tokens, token, start, end, parameters, inner, width, hidden, false, intoOffset, true, scratch);
  multiplyRows(inner, 0, start, end, outOf, output, hidden, width, false, outOf + matrix, false, scratch);
}

export function expertBackward(
  tokens: usize,
  token: usize,
  gate: usize,
  start: i32,
  end: i32,
  parameters: usize,
  width: i32,
  hidden: i32,
  inner: usize,
  outputGradient: usize,
  tokenGradient: usize,
  gradient: usize,
  scratch: usize,
): void {
  const matrix = ((<usize>width) * <usize>hidden) << 2;
  const outOf = matrix + ((<usize>hidden) << 2);
  multiplyColumns(inner, 0, start, end, outputGradient, token, gate, gradient + outOf, hidden, width, scratch);
  sumOfRows(outputGradient, token, gate, start, end, width, gradient + outOf + matrix);
  // A tile reads its mask before it is written, so that the mask's own place can hold the result.
  multiplyRowsTransposed(
    outputGradient, token, gate, start, end, parameters + outOf, inner, width, hidden, false, inner, scratch,
  );
  multiplyColumns(tokens, token, start, end, inner, 0, 0, gradient, width, hidden, scratch);
  sumOfRows(inner, 0, 0, start, end, hidden, gradient + matrix);
  if (tokenGradient == 0) return;
  multiplyRowsTransposed(inner, 0, 0, start, end, parameters, tokenGradient, hidden, width, false, 0, scratch);
}

/** Σ over the rows [`start`, `end`), which `index` names, times their `scale` unless that is 0. */
function sumOfRows(from: usize, index: usize, scale: usize, start: i32, end: i32, columns: i32, to: usize): void {
  const width = (<usize>columns) << 2;
  memory.fill(to, 0, width);
  for (let row = start; row < end; row++) {
    const at = rowOf(from, width, index, row);
    const factor: f32 = scale != 0 ? load<f32>(scale + ((<usize>row) << 2)) : 1;
    addScaled(to, at, factor, columns);
  }
}

export function sumRows(values: usize, rows: i32, columns: i32, out: usize): void {
  sumOfRows(values, 0, 0, 0, rows, columns, out);
}

/** Adds `factor` times the row at `from` to the row at `to`. */
// @ts-ignore: decorator
@inline
function addScaled(to: usize, from: usize, factor: f32, columns: i32): void {
  const lanes = f32x4.splat(factor);
  let i = 0;
  for (; i + 4 <= columns; i += 4) {
    const at = (<usize>i) << 2;
    v128.store(to + at, f32x4.add(v128.load(to + at), f32x4.mul(lanes, v128.load(from + at))));
  }
  for (; i < columns; i++) {
    const at = (<usize>i) << 2;
    store<f32>(to + at, load<f32>(to + at) + factor * load<f32>(from + at));
  }
}

export function combineRows(
  values: usize,
  pair: usize,
  weight: usize,
  tokens: i32,
  slots: i32,
  columns: i32,
  out: usize,
): void {
  const width = (<usize>columns) << 2;
  for (let t = 0; t < tokens; t++) {
    for (let s = 0; s < slots; s++, pair += 4) {
      const row = load<i32>(pair);
      if (row < 0) continue;
      const factor: f32 = weight != 0 ? load<f32>(weight + ((<usize>row) << 2)) : 1;
      addScaled(out, values + <usize>row * width, factor, columns);
    }
    out += width;
  }
}

export function rowProducts(
  left: usize,
  right: usize,
  index: usize,
  rows: i32,
  columns: i32,
  out: usize,
): void {
  const width = (<usize>columns) << 2;
  for (let row = 0; row < rows; row++) {
    const a = left + <usize>row * width;
    const b = rowOf(right, width, index, row);
    let low = f64x2.splat(0);
    let high = f64x2.splat(0);
    let i = 0;
    for (; i + 4 <= columns; i += 4) {
      const at = (<usize>i) << 2;
      const product = f32x4.mul(v128.load(a + at), v128.load(b + at));
      low = f64x2.add(low, promoteLow(product));
      high = f64x2.add(high, promoteHigh(product));
    }
    if (i < columns) {
      const at = (<usize>i) << 2;
      const product = f32x4.mul(loadPartial(a + at, columns - i, 0), loadPartial(b + at, columns - i, 0));
      low = f64x2.add(low, promoteLow(product));
      high = f64x2.add(high, promoteHigh(product));
    }
    store<f32>(out + ((<usize>row) << 2), <f32>sumLanes64(f64x2.add(low, high)));
  }
}

export function scatterRows(values: usize, index: usize, rows: i32, columns: i32, table: usize): void {
  const width = (<usize>columns) << 2;
  for (let row = 0; row < rows; row++) addScaled(rowOf(table, width, index, row), values + <usize>row * width, 1, columns);
}
