import { clampedExp64, exp2, wideExp } from "./exp";
import { hostExp, hostLog } from "./host";
import {
  largestOf,
  loadPartial,
  promoteHigh,
  promoteLow,
  minLanes,
  storePartial,
  sumLanes,
  sumLanes64,
} from "./lanes";
import { scaleRow } from "./softmax";

// @ts-ignore: decorator
@inline
const LN2: f64 = 0.6931471805599453;

/** Writes the row's entries to `to` as powers of 2 and returns the smallest exponents in their lanes. */
// @ts-ignore: decorator
@inline
function gibbsRow(from: usize, experts: i32, largest: f32, perEpsilon: f32, to: usize): v128 {
  const origin = f32x4.splat(largest);
  const factor = f32x4.splat(perEpsilon);
  let least = f32x4.splat(0);
  let i = 0;
  for (; i + 16 <= experts; i += 16) {
    const at = (<usize>i) << 2;
    const y0 = f32x4.mul(f32x4.sub(v128.load(from + at), origin), factor);
    const y1 = f32x4.mul(f32x4.sub(v128.load(from + at, 16), origin), factor);
    const y2 = f32x4.mul(f32x4.sub(v128.load(from + at, 32), origin), factor);
    const y3 = f32x4.mul(f32x4.sub(v128.load(from + at, 48), origin), factor);
    least = f32x4.pmin(least, f32x4.pmin(f32x4.pmin(y0, y1), f32x4.pmin(y2, y3)));
    const w0 = exp2(y0);
    const w1 = exp2(y1);
    const w2 = exp2(y2);
    const w3 = exp2(y3);
    v128.store(to + at, w0);
    v128.store(to + at, w1, 16);
    v128.store(to + at, w2, 32);
    v128.store(to + at, w3, 48);
  }
  for (; i + 4 <= experts; i += 4) {
    const at = (<usize>i) << 2;
    const y = f32x4.mul(f32x4.sub(v128.load(from + at), origin), factor);
    least = f32x4.pmin(least, y);
    v128.store(to + at, exp2(y));
  }
  const at = (<usize>i) << 2;
  const y = f32x4.mul(f32x4.sub(loadPartial(from + at, experts - i, largest), origin), factor);
  storePartial(to + at, exp2(y), experts - i);
  return f32x4.pmin(least, y);
}

/** Σ_e row[e] · scaling[e] of the experts from `start` on. */
function tailProduct(row: usize, scaling: usize, start: i32, experts: i32): f32 {
  let sum: f32 = 0;
  for (let e = start; e < experts; e++) {
    const at = (<usize>e) << 2;
    sum += load<f32>(row + at) * load<f32>(scaling + at);
  }
  return sum;
}

/** `sum` plus the products of eight neighbours of a row with their scalings. */
// @ts-ignore: decorator
@inline
function addProducts(sum: v128, row: usize, low: v128, high: v128): v128 {
  return f32x4.add(f32x4.add(sum, f32x4.mul(low, v128.load(row))), f32x4.mul(high, v128.load(row, 16)));
}

/** A row's factor u = 1 / Σ_e row[e] · scaling[e]. */
// @ts-ignore: decorator
@inline
function rowScaling(sums: v128, row: usize, scaling: usize, start: i32, experts: i32): v128 {
  const one: f32 = 1;
  return f32x4.splat(one / (sumLanes(sums) + tailProduct(row, scaling, start, experts)));
}

/** Adds four columns to their float32 sums. */
// @ts-ignore: decorator
@inline
function addToPartial(to: usize, columns: v128): void {
  v128.store(to, f32x4.add(v128.load(to), columns));
}

/** Adds the float32 sums of `experts` columns, a multiple of four, to the float64 ones and sets them to 0. */
function flushPartial(partial: usize, experts: i32, columnSum: usize): void {
  const end = partial + ((<usize>experts) << 2);
  for (let at = partial, to = columnSum; at < end; at += 16, to += 32) {
    const columns = v128.load(at);
    v128.store(to, f64x2.add(v128.load(to), promoteLow(columns)));
    v128.store(to, f64x2.add(v128.load(to, 16), promoteHigh(columns)), 16);
    v128.store(at, f32x4.splat(0));
  }
}

// @ts-ignore: decorator
@inline
function addToColumn(columnSum: usize, at: usize, value: f32): void {
  store<f64>(columnSum + (at << 1), load<f64>(columnSum + (at << 1)) + <f64>value);
}

// A sweep takes eight rows at a time, which fit the first-level cache: once for their sums and once, scaled, into the
// columns. Row sums and columns over 64 rows are float32, in `partial`, columns over all tokens float64. Experts are taken
// by eights, the rest singly.

/** Bytes of scratch that the kernels of this file need: a float64 a column. */
export function rowScratch(experts: i32): usize {
  return (<usize>experts) << 3;
}

// @ts-ignore: decorator
@inline
function startSweep(experts: i32, columnSum: usize, partial: usize): void {
  memory.fill(columnSum, 0, (<usize>experts) << 3);
  memory.fill(partial, 0, (<usize>experts) << 2);
}

/**
 * Eight rows from `block` on, the first of them row `t`, a multiple of eight. Where `ahead` is not 0 the eight rows there
 * are fetched into cache on the way, while the columns only compute.
 */
// @ts-ignore: decorator
@inline
function sweepEightRows(
  block: usize,
  t: i32,
  scaling: usize,
  experts: i32,
  columnSum: usize,
  partial: usize,
  ahead: usize,
): void {
  const width = (<usize>experts) << 2;
  const whole = experts & ~7;
  const end = (<usize>whole) << 2;
  const zero = f32x4.splat(0);
  let s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero, s6 = zero, s7 = zero;
  for (let at: usize = 0; at < end; at += 32) {
    const low = v128.load(scaling + at);
    const high = v128.load(scaling + at, 16);
    let row = block + at;
    s0 = addProducts(s0, row, low, high);
    s1 = addProducts(s1, (row += width), low, high);
    s2 = addProducts(s2, (row += width), low, high);
    s3 = addProducts(s3, (row += width), low, high);
    s4 = addProducts(s4, (row += width), low, high);
    s5 = addProducts(s5, (row += width), low, high);
    s6 = addProducts(s6, (row += width), low, high);
    s7 = addProducts(s7, (row += width), low, high);
  }
  let touched = 0;
  const u0 = rowScaling(s0, block, scaling, whole, experts);
  const u1 = rowScaling(s1, block + width, scaling, whole, experts);
  const u2 = rowScaling(s2, block + 2 * width, scaling, whole, experts);
  const u3 = rowScaling(s3, block + 3 * width, scaling, whole, experts);
  const u4 = rowScaling(s4, block + 4 * width, scaling, whole, experts);
  const u5 = rowScaling(s5, block + 5 * width, scaling, whole, experts);
  const u6 = rowScaling(s6, block + 6 * width, scaling, whole, experts);
  const u7 = rowScaling(s7, block + 7 * width, scaling, whole, experts);
  for (let at: usize = 0; at < end; at += 32) {
    let row = block + at;
    let low = f32x4.mul(u0, v128.load(row));
    let high = f32x4.mul(u0, v128.load(row, 16));
    row += width;
    low = f32x4.add(low, f32x4.mul(u1, v128.load(row)));
    high = f32x4.add(high, f32x4.mul(u1, v128.load(row, 16)));
    row += width;
    low = f32x4.add(low, f32x4.mul(u2, v128.load(row)));
    high = f32x4.add(high, f32x4.mul(u2, v128.load(row, 16)));
    row += width;
    low = f32x4.add(low, f32x4.mul(u3, v128.load(row)));
    high = f32x4.add(high, f32x4.mul(u3, v128.load(row, 16)));
    row += width;
    low = f32x4.add(low, f32x4.mul(u4, v128.load(row)));
    high = f32x4.add(high, f32x4.mul(u4, v128.load(row, 16)));
    row += width;
    low = f32x4.add(low, f32x4.mul(u5, v128.load(row)));
    high = f32x4.add(high, f32x4.mul(u5, v128.load(row, 16)));
    row += width;
    low = f32x4.add(low, f32x4.mul(u6, v128.load(row)));
    high = f32x4.add(high, f32x4.mul(u6, v128.load(row, 16)));
    row += width;
    low = f32x4.add(low, f32x4.mul(u7, v128.load(row)));
    high = f32x4.add(high, f32x4.mul(u7, v128.load(row, 16)));
    addToPartial(partial + at, low);
    addToPartial(partial + at + 16, high);
    if (ahead != 0) {
      const lines = ahead + (at << 3);
      touched ^= load<i32>(lines) ^ load<i32>(lines, 64) ^ load<i32>(lines, 128) ^ load<i32>(lines, 192);
    }
  }
  // Kept, so that the loads are.
  if (ahead != 0) store<i32>(partial + width, touched);
  if ((t & 63) == 56) flushPartial(partial, whole, columnSum);
  for (let at = end; at < width; at += 4) {
    let row = block + at;
    addToColumn(columnSum, at, f32x4.extract_lane(u0, 0) * load<f32>(row));
    addToColumn(columnSum, at, f32x4.extract_lane(u1, 0) * load<f32>((row += width)));
    addToColumn(columnSum, at, f32x4.extract_lane(u2, 0) * load<f32>((row += width)));
    addToColumn(columnSum, at, f32x4.extract_lane(u3, 0) * load<f32>((row += width)));
    addToColumn(columnSum, at, f32x4.extract_lane(u4, 0) * load<f32>((row += width)));
    addToColumn(columnSum, at, f32x4.extract_lane(u5, 0) * load<f32>((row += width)));
    addToColumn(columnSum, at, f32x4.extract_lane(u6, 0) * load<f32>((row += width)));
    addToColumn(columnSum, at, f32x4.extract_lane(u7, 0) * load<f32>((row += width)));
  }
}

/** The rows that are left after the last eight, and the columns' own scalings. */
function finishSweep(
  gibbs: usize,
  scaling: usize,
  tokens: i32,
  experts: i32,
  columnSum: usize,
  partial: usize,
): void {
  const width = (<usize>experts) << 2;
  const whole = experts & ~7;
  const end = (<usize>whole) << 2;
  flushPartial(partial, whole, columnSum);
  for (let t = tokens & ~7; t < tokens; t++) {
    const row = gibbs + (<usize>t) * width;
    let sums = f32x4.splat(0);
    for (let at: usize = 0; at < end; at += 32) {
      sums = addProducts(sums, row + at, v128.load(scaling + at), v128.load(scaling + at, 16));
    }
    const u = f32x4.extract_lane(rowScaling(sums, row, scaling, whole, experts), 0);
    for (let at: usize = 0; at < width; at += 4) addToColumn(columnSum, at, u * load<f32>(row + at));
  }
  for (let at: usize = 0; at < width; at += 4) {
    store<f64>(columnSum + (at << 1), load<f64>(columnSum + (at << 1)) * <f64>load<f32>(scaling + at));
  }
}

export function sinkhornSweep(
  gibbs: usize,
  scaling: usize,
  tokens: i32,
  experts: i32,
  columnSum: usize,
  partial: usize,
): void {
  startSweep(experts, columnSum, partial);
  const size = (<usize>experts) << 5;
  for (let t = 0; t + 8 <= tokens; t += 8) {
    const block = gibbs + ((<usize>t) >> 3) * size;
    sweepEightRows(block, t, scaling, experts, columnSum, partial, t + 16 <= tokens ? block + size : block);
  }
  finishSweep(gibbs, scaling, tokens, experts, columnSum, partial);
}

/** Rows are swept while they are in cache, with scalings of 1 behind `partial`. */
export function gibbsSweep(
  logits: usize,
  epsilon: f64,
  tokens: i32,
  experts: i32,
  gibbs: usize,
  columnSum: usize,
  partial: usize,
): f64 {
  const width = (<usize>experts) << 2;
  const perEpsilon = <f32>(1 / (epsilon * LN2));
  const ones = partial + width;
  for (let at: usize = 0; at < width; at += 4) store<f32>(ones + at, 1);
  startSweep(experts, columnSum, partial);
  let least = f32x4.splat(0);
  // The next row's largest does not wait for this row's exponentials.
  let next = largestOf(logits, experts);
  for (let t = 0; t < tokens; t++) {
    const at = (<usize>t) * width;
    const largest = next;
    if (t + 1 < tokens) next = largestOf(logits + at + width, experts);
    least = f32x4.pmin(least, gibbsRow(logits + at, experts, largest, perEpsilon, gibbs + at));
    if ((t & 7) == 7) sweepEightRows(gibbs + at - 7 * width, t - 7, ones, experts, columnSum, partial, 0);
  }
  finishSweep(gibbs, ones, tokens, experts, columnSum, partial);
  return -(<f64>minLanes(least)) * LN2;
}

/** Writes z·inverse + potential of a row as float64 to `to` and returns the largest. */
function rowExponents(from: usize, inverse: f64, potential: usize, experts: i32, to: usize): f64 {
  const factor = f64x2.splat(inverse);
  let low = f64x2.splat(-Infinity);
  let high = low;
  let i = 0;
  for (; i + 4 <= experts; i += 4) {
    const z = v128.load(from + ((<usize>i) << 2));
    const at = (<usize>i) << 3;
    const x0 = f64x2.add(f64x2.mul(promoteLow(z), factor), v128.load(potential + at));
    const x1 = f64x2.add(f64x2.mul(promoteHigh(z), factor), v128.load(potential + at, 16));
    v128.store(to + at, x0);
    v128.store(to + at, x1, 16);
    low = f64x2.pmax(low, x0);
    high = f64x2.pmax(high, x1);
  }
  const lanes = f64x2.pmax(low, high);
  let largest = max(f64x2.extract_lane(lanes, 0), f64x2.extract_lane(lanes, 1));
  for (; i < experts; i++) {
    const at = (<usize>i) << 3;
    const x = <f64>load<f32>(from + (at >> 1)) * inverse + load<f64>(potential + at);
    store<f64>(to + at, x);
    largest = max(largest, x);
  }
  return largest;
}

// Terms of a column that are clamped are each below 1e-307, so that a sum above this has lost nothing that shows.
// @ts-ignore: decorator
@inline
const COLUMN_UNDERFLOW: f64 = 1e-200;

/**
 * Each exponential is computed once; the few columns whose plan entries all underflow are summed again as logarithms.
 */
export function logSinkhornSweep(
  logits: usize,
  epsilon: f64,
  potential: usize,
  tokens: i32,
  experts: i32,
  rowLogSum: usize,
  logColumnSum: usize,
  weights: usize,
): void {
  const width = (<usize>experts) << 2;
  const end = (<usize>(experts & ~1)) << 3;
  const inverse = 1 / epsilon;
  memory.fill(logColumnSum, 0, width << 1);
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const largest = rowExponents(logits + t * width, inverse, potential, experts, weights);
    const origin = f64x2.splat(largest);
    let lanes = f64x2.splat(0);
    for (let at: usize = 0; at < end; at += 16) {
      const w = clampedExp64(f64x2.sub(v128.load(weights + at), origin));
      v128.store(weights + at, w);
      lanes = f64x2.add(lanes, w);
    }
    let sum = sumLanes64(lanes);
    if (experts & 1) {
      const w = f64x2.extract_lane(clampedExp64(f64x2.splat(load<f64>(weights + end) - largest)), 0);
      store<f64>(weights + end, w);
      sum += w;
    }
    store<f64>(rowLogSum + (t << 3), largest + hostLog(sum));
    const scaling = f64x2.splat(1 / sum);
    for (let at: usize = 0; at < end; at += 16) {
      const column = v128.load(logColumnSum + at);
      v128.store(logColumnSum + at, f64x2.add(column, f64x2.mul(scaling, v128.load(weights + at))));
    }
    if (experts & 1) {
      store<f64>(logColumnSum + end, load<f64>(logColumnSum + end) + load<f64>(weights + end) / sum);
    }
  }
  for (let e: usize = 0; e < <usize>experts; e++) {
    const at = e << 3;
    const sum = load<f64>(logColumnSum + at);
    const first = logits + (e << 2);
    store<f64>(
      logColumnSum + at,
      sum > COLUMN_UNDERFLOW
        ? hostLog(sum)
        : logColumnSumOf(first, width, inverse, load<f64>(potential + at), tokens, rowLogSum),
    );
  }
}

/**
 * log Σ_t exp(z_t·inverse + potential − rowLogSum_t) of the column whose first logit is at `first`, `stride` bytes
 * apart.
 */
function logColumnSumOf(
  first: usize,
  stride: usize,
  inverse: f64,
  potential: f64,
  tokens: i32,
  rowLogSum: usize,
): f64 {
  let largest: f64 = -Infinity;
  for (let t: usize = 0; t < <usize>tokens; t++) {
    largest = max(largest, <f64>load<f32>(first + t * stride) * inverse + potential - load<f64>(rowLogSum + (t << 3)));
  }
  let sum: f64 = 0;
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const x = <f64>load<f32>(first + t * stride) * inverse + potential - load<f64>(rowLogSum + (t << 3));
    sum += hostExp(x - largest);
  }
  return largest + hostLog(sum);
}

/** The softmax, rounded once to float32 but for the exponential's own error, of `count` float64 exponents. */
export function wideSoftmax(exponents: usize, count: i32, largest: f64, to: usize): void {
  const origin = f64x2.splat(largest);
  let low = f64x2.splat(0);
  let high = low;
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const at = exponents + ((<usize>i) << 3);
    const w = wideExp(f64x2.sub(v128.load(at), origin), f64x2.sub(v128.load(at, 16), origin));
    v128.store(to + ((<usize>i) << 2), w);
    low = f64x2.add(low, promoteLow(w));
    high = f64x2.add(high, promoteHigh(w));
  }
  let sum = sumLanes64(f64x2.add(low, high));
  for (; i < count; i++) {
    const x = f64x2.splat(load<f64>(exponents + ((<usize>i) << 3)) - largest);
    const w = f32x4.extract_lane(wideExp(x, x), 0);
    store<f32>(to + ((<usize>i) << 2), w);
    sum += <f64>w;
  }
  scaleRow(to, count, <f32>(1 / sum));
}

export function entropicPlan(
  logits: usize,
  potential: usize,
  epsilon: f64,
  tokens: i32,
  experts: i32,
  out: usize,
  exponents: usize,
): void {
  const width = (<usize>experts) << 2;
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const largest = rowExponents(logits + t * width, 1 / epsilon, potential, experts, exponents);
    wideSoftmax(exponents, experts, largest, out + t * width);
  }
}
