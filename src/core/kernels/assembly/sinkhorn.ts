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

/**
 * Writes the row's entries to `to` as powers of 2 and 1 / their sum to `rowScaling`, and returns the smallest exponents in
 * their lanes.
 */
// @ts-ignore: decorator
@inline
function gibbsRow(
  from: usize,
  experts: i32,
  largest: f32,
  perEpsilon: f32,
  to: usize,
  rowScaling: usize,
): v128 {
  const origin = f32x4.splat(largest);
  const factor = f32x4.splat(perEpsilon);
  let least = f32x4.splat(0);
  let sums = least;
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
    sums = f32x4.add(sums, f32x4.add(f32x4.add(w0, w1), f32x4.add(w2, w3)));
  }
  for (; i + 4 <= experts; i += 4) {
    const at = (<usize>i) << 2;
    const y = f32x4.mul(f32x4.sub(v128.load(from + at), origin), factor);
    least = f32x4.pmin(least, y);
    const w = exp2(y);
    v128.store(to + at, w);
    sums = f32x4.add(sums, w);
  }
  const at = (<usize>i) << 2;
  const y = f32x4.mul(f32x4.sub(loadPartial(from + at, experts - i, largest), origin), factor);
  storePartial(to + at, exp2(y), experts - i);
  let sum = sumLanes(sums);
  for (; i < experts; i++) sum += load<f32>(to + ((<usize>i) << 2));
  const one: f32 = 1;
  store<f32>(rowScaling, one / sum);
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
  return f32x4.add(sum, f32x4.add(f32x4.mul(low, v128.load(row)), f32x4.mul(high, v128.load(row, 16))));
}

/** Writes a row's factor u = 1 / Σ_e row[e] · scaling[e], of which `sums` has the experts before `start`. */
// @ts-ignore: decorator
@inline
function storeRowScaling(to: usize, sums: v128, row: usize, scaling: usize, start: i32, experts: i32): void {
  const one: f32 = 1;
  store<f32>(to, one / (sumLanes(sums) + tailProduct(row, scaling, start, experts)));
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

// A sweep takes four rows at a time, which stay in the first-level cache: once for their sums and once, scaled, into the
// columns. With more rows V8, which moves all loads of an iteration to its front, runs out of registers. Row sums and
// columns over 64 rows are float32, in `partial`, columns over all tokens float64. Experts are taken by eights, the rest
// singly. Behind `partial` are the factors of the four rows.

/** Bytes of scratch that the kernels of this file need: a float64 a column, and the factors of four rows. */
export function rowScratch(experts: i32): usize {
  return ((<usize>experts) << 3) + 16;
}

// @ts-ignore: decorator
@inline
function rowScalingsOf(partial: usize, experts: i32): usize {
  return partial + ((<usize>experts) << 2);
}

// @ts-ignore: decorator
@inline
function startSweep(experts: i32, columnSum: usize, partial: usize): void {
  memory.fill(columnSum, 0, (<usize>experts) << 3);
  memory.fill(partial, 0, (<usize>experts) << 2);
}

/** The factors of the four rows from `block` on. */
// @ts-ignore: decorator
@inline
function scaleFourRows(block: usize, scaling: usize, experts: i32, rowScalings: usize): void {
  const width = (<usize>experts) << 2;
  const whole = experts & ~7;
  const end = (<usize>whole) << 2;
  const zero = f32x4.splat(0);
  let s0 = zero, s1 = zero, s2 = zero, s3 = zero;
  for (let at: usize = 0; at < end; at += 32) {
    const low = v128.load(scaling + at);
    const high = v128.load(scaling + at, 16);
    let row = block + at;
    s0 = addProducts(s0, row, low, high);
    s1 = addProducts(s1, (row += width), low, high);
    s2 = addProducts(s2, (row += width), low, high);
    s3 = addProducts(s3, (row += width), low, high);
  }
  let row = block;
  storeRowScaling(rowScalings, s0, row, scaling, whole, experts);
  storeRowScaling(rowScalings + 4, s1, (row += width), scaling, whole, experts);
  storeRowScaling(rowScalings + 8, s2, (row += width), scaling, whole, experts);
  storeRowScaling(rowScalings + 12, s3, (row += width), scaling, whole, experts);
}

/** The sum of four numbers `width` bytes apart, each times its factor. */
// @ts-ignore: decorator
@inline
function scaledSum(row: usize, width: usize, u0: v128, u1: v128, u2: v128, u3: v128): v128 {
  const first = f32x4.mul(u0, v128.load(row));
  const second = f32x4.mul(u1, v128.load((row += width)));
  const third = f32x4.mul(u2, v128.load((row += width)));
  const fourth = f32x4.mul(u3, v128.load(row + width));
  return f32x4.add(f32x4.add(first, second), f32x4.add(third, fourth));
}

/**
 * Adds the four rows from `block` on, the first of them row `t`, a multiple of four, times their factors to the columns.
 * Where `ahead` is not 0 the four rows there are fetched into cache on the way, while there is only computing to do.
 */
// @ts-ignore: decorator
@inline
function addFourRows(
  block: usize,
  t: i32,
  experts: i32,
  columnSum: usize,
  partial: usize,
  rowScalings: usize,
  ahead: usize,
): void {
  const width = (<usize>experts) << 2;
  const whole = experts & ~7;
  const end = (<usize>whole) << 2;
  let touched = 0;
  const u0 = v128.load32_splat(rowScalings);
  const u1 = v128.load32_splat(rowScalings, 4);
  const u2 = v128.load32_splat(rowScalings, 8);
  const u3 = v128.load32_splat(rowScalings, 12);
  for (let at: usize = 0; at < end; at += 32) {
    addToPartial(partial + at, scaledSum(block + at, width, u0, u1, u2, u3));
    addToPartial(partial + at + 16, scaledSum(block + at + 16, width, u0, u1, u2, u3));
    if (ahead != 0) {
      const lines = ahead + (at << 2);
      touched ^= load<i32>(lines) ^ load<i32>(lines, 64);
    }
  }
  // Kept, so that the loads are.
  if (ahead != 0) store<i32>(rowScalings, touched);
  if ((t & 63) == 60) flushPartial(partial, whole, columnSum);
  for (let at = end; at < width; at += 4) {
    let row = block + at;
    addToColumn(columnSum, at, f32x4.extract_lane(u0, 0) * load<f32>(row));
    addToColumn(columnSum, at, f32x4.extract_lane(u1, 0) * load<f32>((row += width)));
    addToColumn(columnSum, at, f32x4.extract_lane(u2, 0) * load<f32>((row += width)));
    addToColumn(columnSum, at, f32x4.extract_lane(u3, 0) * load<f32>((row += width)));
  }
}

/** Adds the rows that are left after the last four, times their factors, to the columns. */
function addLastRows(
  gibbs: usize,
  tokens: i32,
  experts: i32,
  columnSum: usize,
  partial: usize,
  rowScalings: usize,
): void {
  const width = (<usize>experts) << 2;
  flushPartial(partial, experts & ~7, columnSum);
  for (let t = tokens & ~3; t < tokens; t++) {
    const row = gibbs + (<usize>t) * width;
    const u = load<f32>(rowScalings + ((<usize>(t & 3)) << 2));
    for (let at: usize = 0; at < width; at += 4) addToColumn(columnSum, at, u * load<f32>(row + at));
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
  const rowScalings = rowScalingsOf(partial, experts);
  const width = (<usize>experts) << 2;
  const size = width << 2;
  for (let t = 0; t + 4 <= tokens; t += 4) {
    const block = gibbs + ((<usize>t) >> 2) * size;
    const ahead = t + 8 <= tokens ? block + size : block;
    scaleFourRows(block, scaling, experts, rowScalings);
    addFourRows(block, t, experts, columnSum, partial, rowScalings, ahead);
  }
  const whole = experts & ~7;
  const end = (<usize>whole) << 2;
  for (let t = tokens & ~3; t < tokens; t++) {
    const row = gibbs + (<usize>t) * width;
    let sums = f32x4.splat(0);
    for (let at: usize = 0; at < end; at += 32) {
      sums = addProducts(sums, row + at, v128.load(scaling + at), v128.load(scaling + at, 16));
    }
    storeRowScaling(rowScalings + ((<usize>(t & 3)) << 2), sums, row, scaling, whole, experts);
  }
  addLastRows(gibbs, tokens, experts, columnSum, partial, rowScalings);
  for (let at: usize = 0; at < width; at += 4) {
    store<f64>(columnSum + (at << 1), load<f64>(columnSum + (at << 1)) * <f64>load<f32>(scaling + at));
  }
}

/** Rows are added to the columns while they are in cache. */
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
  const rowScalings = rowScalingsOf(partial, experts);
  startSweep(experts, columnSum, partial);
  let least = f32x4.splat(0);
  // The next row's largest does not wait for this row's exponentials.
  let next = largestOf(logits, experts);
  for (let t = 0; t < tokens; t++) {
    const at = (<usize>t) * width;
    const largest = next;
    if (t + 1 < tokens) next = largestOf(logits + at + width, experts);
    const rowScaling = rowScalings + ((<usize>(t & 3)) << 2);
    least = f32x4.pmin(least, gibbsRow(logits + at, experts, largest, perEpsilon, gibbs + at, rowScaling));
    if ((t & 3) == 3) addFourRows(gibbs + at - 3 * width, t - 3, experts, columnSum, partial, rowScalings, 0);
  }
  addLastRows(gibbs, tokens, experts, columnSum, partial, rowScalings);
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
  if (largest == -Infinity) return largest;
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
