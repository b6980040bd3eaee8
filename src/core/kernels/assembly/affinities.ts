import { exp64, sigmoid64, sqrtSoftplus64 } from "./exp";
import { SIGMOID, SOFTMAX } from "./kinds";
import { largestOf, promoteHigh, promoteLow, sumLanes64 } from "./lanes";

// S in float64, of logits that are widened exactly.

/** See `Kernels.affinities`; `out` is float64 in all three. */
export function logitAffinities(logits: usize, entries: i32, out: usize): void {
  let i = 0;
  for (; i + 4 <= entries; i += 4) {
    const z = v128.load(logits + ((<usize>i) << 2));
    const to = out + ((<usize>i) << 3);
    v128.store(to, promoteLow(z));
    v128.store(to, promoteHigh(z), 16);
  }
  for (; i < entries; i++) store<f64>(out + ((<usize>i) << 3), <f64>load<f32>(logits + ((<usize>i) << 2)));
}

/** `sigmoid64` or `sqrtSoftplus64`, a constant at each call. */
// @ts-ignore: decorator
@inline
function affinityOf(z: v128, isSigmoid: bool): v128 {
  return isSigmoid ? sigmoid64(z) : sqrtSoftplus64(z);
}

// @ts-ignore: decorator
@inline
function entrywiseAffinities(logits: usize, entries: i32, out: usize, isSigmoid: bool): void {
  let i = 0;
  for (; i + 4 <= entries; i += 4) {
    const z = v128.load(logits + ((<usize>i) << 2));
    const to = out + ((<usize>i) << 3);
    v128.store(to, affinityOf(promoteLow(z), isSigmoid));
    v128.store(to, affinityOf(promoteHigh(z), isSigmoid), 16);
  }
  for (; i < entries; i++) {
    const z = f64x2.splat(<f64>load<f32>(logits + ((<usize>i) << 2)));
    store<f64>(out + ((<usize>i) << 3), f64x2.extract_lane(affinityOf(z, isSigmoid), 0));
  }
}

export function sigmoidAffinities(logits: usize, entries: i32, out: usize): void {
  entrywiseAffinities(logits, entries, out, true);
}

export function sqrtSoftplusAffinities(logits: usize, entries: i32, out: usize): void {
  entrywiseAffinities(logits, entries, out, false);
}

export function softmaxAffinities(logits: usize, tokens: i32, experts: i32, out: usize): void {
  const width = (<usize>experts) << 2;
  for (let t: usize = 0; t < <usize>tokens; t++) softmaxRow64(logits + t * width, experts, out + ((t * width) << 1));
}

function softmaxRow64(from: usize, experts: i32, to: usize): void {
  const largest = <f64>largestOf(from, experts);
  if (largest == -Infinity) {
    memory.fill(to, 0, (<usize>experts) << 3);
    return;
  }
  const origin = f64x2.splat(largest);
  let low = f64x2.splat(0);
  let high = low;
  let e = 0;
  for (; e + 4 <= experts; e += 4) {
    const z = v128.load(from + ((<usize>e) << 2));
    const at = to + ((<usize>e) << 3);
    const w0 = exp64(f64x2.sub(promoteLow(z), origin));
    const w1 = exp64(f64x2.sub(promoteHigh(z), origin));
    v128.store(at, w0);
    v128.store(at, w1, 16);
    low = f64x2.add(low, w0);
    high = f64x2.add(high, w1);
  }
  let sum = sumLanes64(f64x2.add(low, high));
  for (; e < experts; e++) {
    const x = f64x2.splat(<f64>load<f32>(from + ((<usize>e) << 2)) - largest);
    const w = f64x2.extract_lane(exp64(x), 0);
    store<f64>(to + ((<usize>e) << 3), w);
    sum += w;
  }
  const inverse = 1 / sum;
  const factor = f64x2.splat(inverse);
  for (e = 0; e + 2 <= experts; e += 2) {
    const at = to + ((<usize>e) << 3);
    v128.store(at, f64x2.mul(v128.load(at), factor));
  }
  if (e < experts) store<f64>(to + ((<usize>e) << 3), load<f64>(to + ((<usize>e) << 3)) * inverse);
}

/** Bytes of scratch that {@link addShares} needs: the affinities of four rows. */
export function sharesScratch(experts: i32): usize {
  return (<usize>experts) << 5;
}

/** S of `count` rows of a kind other than the logits. */
function rowsOf(kind: i32, logits: usize, count: i32, experts: i32, out: usize): void {
  if (kind == SOFTMAX) softmaxAffinities(logits, count, experts, out);
  else if (kind == SIGMOID) sigmoidAffinities(logits, count * experts, out);
  else sqrtSoftplusAffinities(logits, count * experts, out);
}

/** Σ of a row, in the order of its entries. */
function rowSum(row: usize, experts: i32): f64 {
  let sum: f64 = 0;
  for (let e: usize = 0; e < <usize>experts; e++) sum += load<f64>(row + (e << 3));
  return sum;
}

/** Adds row / `sum` to `share`; nothing of a row of zeros. */
function addShare(row: usize, sum: f64, experts: i32, share: usize): void {
  if (sum == 0) return;
  const divisor = f64x2.splat(sum);
  let e = 0;
  for (; e + 2 <= experts; e += 2) {
    const at = (<usize>e) << 3;
    v128.store(share + at, f64x2.add(v128.load(share + at), f64x2.div(v128.load(row + at), divisor)));
  }
  if (e < experts) {
    const at = (<usize>e) << 3;
    store<f64>(share + at, load<f64>(share + at) + load<f64>(row + at) / sum);
  }
}

/**
 * See `Kernels.addShares`. Every sum is taken in order, so that its bits do not depend on how rows are grouped. Four rows at a
 * time, whose sums would else each wait for their own last addition.
 */
export function addShares(
  logits: usize,
  kind: i32,
  tokens: i32,
  experts: i32,
  share: usize,
  scratch: usize,
): void {
  const width = (<usize>experts) << 2;
  const r0 = scratch;
  const r1 = r0 + 2 * width;
  const r2 = r1 + 2 * width;
  const r3 = r2 + 2 * width;
  let t = 0;
  for (; t + 4 <= tokens; t += 4) {
    rowsOf(kind, logits + (<usize>t) * width, 4, experts, scratch);
    let s0: f64 = 0;
    let s1: f64 = 0;
    let s2: f64 = 0;
    let s3: f64 = 0;
    for (let at: usize = 0; at < 2 * width; at += 8) {
      s0 += load<f64>(r0 + at);
      s1 += load<f64>(r1 + at);
      s2 += load<f64>(r2 + at);
      s3 += load<f64>(r3 + at);
    }
    if (s0 == 0 || s1 == 0 || s2 == 0 || s3 == 0) {
      addShare(r0, s0, experts, share);
      addShare(r1, s1, experts, share);
      addShare(r2, s2, experts, share);
      addShare(r3, s3, experts, share);
      continue;
    }
    const d0 = f64x2.splat(s0);
    const d1 = f64x2.splat(s1);
    const d2 = f64x2.splat(s2);
    const d3 = f64x2.splat(s3);
    let at: usize = 0;
    for (; at + 16 <= 2 * width; at += 16) {
      let sum = f64x2.add(v128.load(share + at), f64x2.div(v128.load(r0 + at), d0));
      sum = f64x2.add(sum, f64x2.div(v128.load(r1 + at), d1));
      sum = f64x2.add(sum, f64x2.div(v128.load(r2 + at), d2));
      v128.store(share + at, f64x2.add(sum, f64x2.div(v128.load(r3 + at), d3)));
    }
    if (at < 2 * width) {
      let sum = load<f64>(share + at) + load<f64>(r0 + at) / s0;
      sum += load<f64>(r1 + at) / s1;
      sum += load<f64>(r2 + at) / s2;
      store<f64>(share + at, sum + load<f64>(r3 + at) / s3);
    }
  }
  for (; t < tokens; t++) {
    rowsOf(kind, logits + (<usize>t) * width, 1, experts, scratch);
    addShare(scratch, rowSum(scratch, experts), experts, share);
  }
}
