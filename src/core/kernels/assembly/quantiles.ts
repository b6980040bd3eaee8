import { logitAffinities, sigmoidAffinities, softmaxAffinities, sqrtSoftplusAffinities } from "./affinities";
import { biasesOf, candidatesOf, exactKeysOf, keysOf, orderFirst, orderOf, takeFirst } from "./candidates";
import { cutoffBelow, keyError, roundBiases, rowKeys } from "./keys";
import { LOGITS, SIGMOID, SOFTMAX } from "./kinds";
import { smallestOf } from "./lanes";
import { groupBound, groupScratch, lastOfLargest, packAbove } from "./priced-row";
import { indicesFrom, lowerBound } from "./threshold";
import { countFrom, HISTOGRAM_BYTES, keyOf, ordered, orderedScalar, padded, rankedKey } from "./tokens";

// Four columns at a time are rounded to float32 and turned into rows of int32 keys of the same order, of which a radix search
// finds the `rank`-th largest. Rounding keeps the order, so that the float64 number sought is among those that round to it:
// these are few, and are computed again.

/** Bytes of scratch that {@link columnQuantiles} needs: four rows of keys, the ties and the sorted ones of them. */
export function quantilesScratch(tokens: i32): usize {
  return 32 * padded(tokens) + HISTOGRAM_BYTES;
}

/** Two differences of a row, in float64. */
// @ts-ignore: decorator
@inline
function difference(from: usize, shift: v128): v128 {
  return f64x2.sub(v128.load(from), shift);
}

/** The keys of four neighbouring experts of one token. */
// @ts-ignore: decorator
@inline
function fourKeys(from: usize, shift: usize): v128 {
  const lanes = v128.load64_splat(shift);
  const low = f32x4.demote_f64x2_zero(difference(from, lanes));
  const high = f32x4.demote_f64x2_zero(difference(from + 16, lanes));
  return ordered(v128.shuffle<i64>(low, high, 0, 2));
}

/** The keys of four experts, `[4 × tokens]`; with fewer than four experts only those that exist. */
function columnKeys(scores: usize, shift: usize, tokens: i32, experts: i32, to: usize): void {
  const stride = padded(tokens) << 2;
  const columns = min(4, experts);
  const width = (<usize>experts) << 3;
  let t = 0;
  if (columns == 4) {
    for (; t + 4 <= tokens; t += 4) {
      const from = scores + (<usize>t) * width;
      const shifts = shift + ((<usize>t) << 3);
      const r0 = fourKeys(from, shifts);
      const r1 = fourKeys(from + width, shifts + 8);
      const r2 = fourKeys(from + 2 * width, shifts + 16);
      const r3 = fourKeys(from + 3 * width, shifts + 24);
      const a = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5);
      const b = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5);
      const c = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7);
      const d = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
      const at = to + ((<usize>t) << 2);
      v128.store(at, v128.shuffle<i64>(a, b, 0, 2));
      v128.store(at + stride, v128.shuffle<i64>(a, b, 1, 3));
      v128.store(at + 2 * stride, v128.shuffle<i64>(c, d, 0, 2));
      v128.store(at + 3 * stride, v128.shuffle<i64>(c, d, 1, 3));
    }
  }
  for (; t < tokens; t++) {
    for (let column: usize = 0; column < <usize>columns; column++) {
      const score = load<f64>(scores + (<usize>t) * width + (column << 3));
      const key = orderedScalar(<f32>(score - load<f64>(shift + ((<usize>t) << 3))));
      store<i32>(to + column * stride + ((<usize>t) << 2), key);
    }
  }
}

/** Collects the differences of the column at `scores` whose key is `key`; returns how many. */
function collect(
  keys: usize,
  key: i32,
  scores: usize,
  width: usize,
  shift: usize,
  tokens: i32,
  to: usize,
): i32 {
  const wanted = i32x4.splat(key);
  const end = keys + ((<usize>tokens) << 2);
  let count: usize = 0;
  for (let at = keys; at < end; at += 16) {
    let hits = i32x4.bitmask(i32x4.eq(v128.load(at), wanted));
    while (hits != 0) {
      const t = ((at - keys) >> 2) + <usize>ctz(hits);
      hits &= hits - 1;
      if (t >= <usize>tokens) break;
      store<f64>(to + (count << 3), load<f64>(scores + t * width) - load<f64>(shift + (t << 3)));
      count += 1;
    }
  }
  return <i32>count;
}

/** See `Kernels.columnQuantiles`; `scores`, `shift` and `out` are float64. */
export function columnQuantiles(
  scores: usize,
  shift: usize,
  tokens: i32,
  experts: i32,
  rank: i32,
  out: usize,
  scratch: usize,
): void {
  const stride = padded(tokens) << 2;
  const keys = scratch;
  const ties = keys + 4 * stride;
  const sorted = ties + 2 * stride;
  const histogram = sorted + 2 * stride;
  const width = (<usize>experts) << 3;
  for (let block = 0; block < experts; block += 4) {
    // The last block reaches back over the one before, so that it is whole too.
    const start = max(0, min(block, experts - 4));
    columnKeys(scores + ((<usize>start) << 3), shift, tokens, experts, keys);
    for (let expert = block; expert < min(block + 4, experts); expert++) {
      const column = keys + (<usize>(expert - start)) * stride;
      const key = rankedKey(column, tokens, rank, histogram);
      const above = key == i32.MAX_VALUE ? 0 : countFrom(column, tokens, key + 1);
      const at = (<usize>expert) << 3;
      const size = collect(column, key, scores + at, width, shift, tokens, ties);
      store<f64>(out + at, lastOfLargest(ties, size, rank - above, sorted));
    }
  }
}

// The prices of quantile balancing, fast: affinities in float32, and those few in float64 that can be a quantile. With
// keys S + b within δ of the true ones (see `keys.ts`) and none larger than W, an excess S − α is within ε = 2·δ(W) +
// 2^−21·W of the true one. Where the float32 quantile of a column is τ, excesses above τ + 2ε are above the true quantile
// and those below τ − 2ε below it, with the largest ε of all tokens. Of those between, each with its own token's ε, the same
// rank of the least and of the most that they can be are bounds of the quantile. The rows of those that reach between these
// bounds are computed in float64. The excess of a token's (K + 1)-th expert is the expert's price itself, and needs none of it.
//
// Each expert's excesses near its price and above are listed while the rows are read: nearly always they hold the quantile,
// and then the columns need not be read.

/** Stands for the excess of a token that has no (K + 1)-th expert: it has its experts at any price. */
// @ts-ignore: decorator
@inline
const UNLIMITED: f32 = 1e30;

/** Of the enabled logits of a row, whose biases are at most `largestBias` in size. */
function largestLogitKey(row: usize, experts: i32, largestBias: f32): f32 {
  let largest: f32 = 0;
  for (let e: usize = 0; e < <usize>experts; e++) {
    const size = abs(load<f32>(row + (e << 2)));
    if (size != Infinity) largest = max(largest, size);
  }
  return largest + largestBias;
}

/** Writes keys − biases − `threshold` of a row to `to`. */
function writeExcess(keys: usize, biases: usize, threshold: f32, experts: i32, to: usize): void {
  const lanes = f32x4.splat(threshold);
  let e = 0;
  for (; e + 4 <= experts; e += 4) {
    const at = (<usize>e) << 2;
    v128.store(to + at, f32x4.sub(f32x4.sub(v128.load(keys + at), v128.load(biases + at)), lanes));
  }
  for (; e < experts; e++) {
    const at = (<usize>e) << 2;
    store<f32>(to + at, load<f32>(keys + at) - load<f32>(biases + at) - threshold);
  }
}

/** Rows of which the reach of the lists is taken. */
// @ts-ignore: decorator
@inline
const SAMPLED_ROWS: i32 = 32;

/** How far below a token's α keys are listed: on average over some tokens as far as the next four. Negative for no lists. */
function listReach(
  logits: usize,
  kind: i32,
  biases: usize,
  tokens: i32,
  experts: i32,
  topK: i32,
  keys: usize,
  sorted: usize,
): f32 {
  const depth = topK + 5;
  if (tokens < SAMPLED_ROWS || depth > experts) return -1;
  let total: f32 = 0;
  for (let i = 0; i < SAMPLED_ROWS; i++) {
    const t = <usize>((<i64>i * tokens) / SAMPLED_ROWS);
    rowKeys(logits + ((t * experts) << 2), kind, biases, experts, keys);
    let filled: usize = 0;
    for (let e: usize = 0; e < <usize>experts; e++) {
      const key = load<f32>(keys + (e << 2));
      if (filled == depth && key <= load<f32>(sorted + ((filled - 1) << 2))) continue;
      let place = filled < <usize>depth ? filled++ : filled - 1;
      for (; place > 0 && load<f32>(sorted + ((place - 1) << 2)) < key; place--) {
        store<f32>(sorted + (place << 2), load<f32>(sorted + ((place - 1) << 2)));
      }
      store<f32>(sorted + (place << 2), key);
    }
    total += load<f32>(sorted + ((<usize>topK) << 2)) - load<f32>(sorted + ((<usize>(depth - 1)) << 2));
  }
  return total / <f32>SAMPLED_ROWS;
}

/** The smallest difference of neighbours among the keys of `order`, of which there are `last` + 1. */
function smallestGap(keys: usize, order: usize, last: i32): f32 {
  let before = load<f32>(keys + ((<usize>load<i32>(order)) << 2));
  let smallest: f32 = Infinity;
  for (let i = 1; i <= last; i++) {
    const key = load<f32>(keys + ((<usize>load<i32>(order + ((<usize>i) << 2))) << 2));
    smallest = min(smallest, before - key);
    before = key;
  }
  return smallest;
}

/** See `Kernels.selectByPrice`; `error` and `listed` are float64, ε of the comment above, and the reach. */
export function selectByPrice(
  logits: usize,
  kind: i32,
  bias: usize,
  tokens: i32,
  experts: i32,
  topK: i32,
  expert: usize,
  loads: usize,
  excess: usize,
  error: usize,
  gap: usize,
  next: usize,
  room: i32,
  listCount: usize,
  listKey: usize,
  listToken: usize,
  listed: usize,
  scratch: usize,
): void {
  const biases = biasesOf(scratch, experts);
  const keys = keysOf(scratch, experts);
  const order = orderOf(scratch, experts);
  const candidates = candidatesOf(scratch, experts);
  const largestBias = roundBiases(bias, experts, biases);
  memory.fill(loads, 0, (<usize>experts) << 2);
  memory.fill(listCount, 0, (<usize>experts) << 2);
  let reach = listReach(logits, kind, biases, tokens, experts, topK, keys, exactKeysOf(scratch));
  if (!(reach < Infinity)) reach = -1;
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const row = logits + ((t * experts) << 2);
    const to = excess + ((t * experts) << 2);
    const most = rowKeys(row, kind, biases, experts, keys);
    const cutoff = cutoffBelow(lowerBound(keys, experts, topK + 1), most, largestBias);
    const size = indicesFrom(keys, experts, cutoff, candidates);
    orderFirst(scratch, row, kind, bias, experts, size, topK + 1, most, largestBias);
    takeFirst(order, topK, row, expert + ((t * topK) << 2), loads);
    const nearest = load<i32>(order + ((<usize>topK) << 2));
    const isMasked = smallestOf(row, experts) == -Infinity;
    const hasNext = nearest >= 0 && load<f32>(row + ((<usize>nearest) << 2)) != -Infinity;
    const threshold = hasNext ? load<f32>(keys + ((<usize>nearest) << 2)) : 0;
    store<i32>(next + (t << 2), hasNext ? nearest : -1);
    store<f32>(gap + (t << 2), hasNext ? smallestGap(keys, order, topK) : 0);
    writeExcess(keys, biases, threshold, experts, to);
    if (isMasked) {
      // A disabled expert's key is not its excess.
      reach = -1;
      for (let e: usize = 0; e < <usize>experts; e++) {
        const isDisabled = load<f32>(row + (e << 2)) == -Infinity;
        if (isDisabled) store<f32>(to + (e << 2), -Infinity);
        else if (!hasNext) store<f32>(to + (e << 2), UNLIMITED);
      }
    }
    if (reach >= 0) {
      const found = indicesFrom(keys, experts, threshold - reach, candidates);
      for (let i: usize = 0; i < <usize>found; i++) {
        const e = <usize>load<i32>(candidates + (i << 2));
        const count = load<i32>(listCount + (e << 2));
        store<i32>(listCount + (e << 2), count + 1);
        if (count >= room) continue;
        const at = (e * <usize>room + <usize>count) << 2;
        store<i32>(listKey + at, orderedScalar(load<f32>(to + (e << 2))));
        store<i32>(listToken + at, <i32>t);
      }
    }
    const widest = kind == LOGITS ? largestLogitKey(row, experts, largestBias) : most + largestBias;
    // Its own rounding is a few parts in a million.
    store<f64>(error + (t << 3), 1.00001 * <f64>(2 * keyError(widest, most, 0) + <f32>4.8e-7 * (widest + largestBias)));
  }
  store<f64>(listed, <f64>reach);
}

/** Columns whose keys are made at a time: a cache line of the rows. */
// @ts-ignore: decorator
@inline
const BLOCK: i32 = 16;

/** Bytes from one column of keys to the next: no power of two, whose columns would share the same few cache lines. */
// @ts-ignore: decorator
@inline
function strideOf(tokens: i32): usize {
  return (padded(tokens) << 2) + 64;
}

/** Bytes of scratch that {@link priceQuantiles} needs. */
export function priceQuantilesScratch(tokens: i32, experts: i32, topK: i32): usize {
  const row = (<usize>experts + 4) << 3;
  return <usize>(BLOCK + 8) * strideOf(tokens) + HISTOGRAM_BYTES + (row << 2) + groupScratch(topK + 1);
}

/** The keys of `columns` ≤ BLOCK neighbouring columns of float32 rows, `[columns × tokens]`. */
function blockKeys(from: usize, width: usize, columns: i32, tokens: i32, to: usize): void {
  const stride = strideOf(tokens);
  const whole = columns & ~3;
  let t: usize = 0;
  for (; t + 4 <= <usize>tokens; t += 4) {
    const row = from + t * width;
    const at = to + (t << 2);
    for (let column: usize = 0; column < <usize>whole; column += 4) {
      const own = row + (column << 2);
      const r0 = ordered(v128.load(own));
      const r1 = ordered(v128.load(own + width));
      const r2 = ordered(v128.load(own + 2 * width));
      const r3 = ordered(v128.load(own + 3 * width));
      const a = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5);
      const b = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5);
      const c = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7);
      const d = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
      const first = at + column * stride;
      v128.store(first, v128.shuffle<i64>(a, b, 0, 2));
      v128.store(first + stride, v128.shuffle<i64>(a, b, 1, 3));
      v128.store(first + 2 * stride, v128.shuffle<i64>(c, d, 0, 2));
      v128.store(first + 3 * stride, v128.shuffle<i64>(c, d, 1, 3));
    }
    for (let column: usize = whole; column < <usize>columns; column++) {
      for (let next: usize = 0; next < 4; next++) {
        const key = orderedScalar(load<f32>(row + next * width + (column << 2)));
        store<i32>(at + column * stride + (next << 2), key);
      }
    }
  }
  for (; t < <usize>tokens; t++) {
    for (let column: usize = 0; column < <usize>columns; column++) {
      store<i32>(to + column * stride + (t << 2), orderedScalar(load<f32>(from + t * width + (column << 2))));
    }
  }
}

/** Copies the keys that are at least `least` to `to` and their tokens to `tokensTo`, in their order; returns how many. */
function packKeys(keys: usize, tokens: i32, least: i32, to: usize, tokensTo: usize): i32 {
  const lanes = i32x4.splat(least);
  const end = keys + ((<usize>tokens) << 2);
  let count: usize = 0;
  for (let at = keys; at < end; at += 16) {
    let hits = i32x4.bitmask(i32x4.ge_s(v128.load(at), lanes));
    while (hits != 0) {
      const own = at + ((<usize>ctz(hits)) << 2);
      hits &= hits - 1;
      if (own >= end) break;
      store<i32>(to + (count << 2), load<i32>(own));
      store<i32>(tokensTo + (count << 2), <i32>((own - keys) >> 2));
      count += 1;
    }
  }
  return <i32>count;
}

/** The `rank`-th largest of few keys, by halving the range of numbers that it can be. */
function rankedByHalving(keys: usize, count: i32, rank: i32): i32 {
  let low: i64 = i32.MIN_VALUE;
  let high: i64 = i32.MAX_VALUE;
  while (low < high) {
    const middle = low + ((high - low + 1) >> 1);
    if (countFrom(keys, count, <i32>middle) >= rank) low = middle;
    else high = middle - 1;
  }
  return <i32>low;
}

/** Keys of which a sample is worth the trouble, and the size of it. */
// @ts-ignore: decorator
@inline
const SAMPLED: i32 = 2048;
// @ts-ignore: decorator
@inline
const SAMPLE: i32 = 256;

/**
 * A key that more than `rank` of many keys nearly surely reach, but not many more: of a sample the one at a place four
 * standard deviations further down.
 */
function boundBySample(keys: usize, tokens: i32, rank: i32, sample: usize): i32 {
  if (tokens < SAMPLED || rank > tokens >> 2) return i32.MIN_VALUE;
  const step = tokens / SAMPLE;
  for (let i = 0; i < SAMPLE; i++) {
    store<i32>(sample + ((<usize>i) << 2), load<i32>(keys + ((<usize>(i * step)) << 2)));
  }
  const expected = (<f64>rank * <f64>SAMPLE) / <f64>tokens;
  return rankedByHalving(sample, SAMPLE, min(SAMPLE, <i32>(expected + 4 * sqrt(expected)) + 4));
}

/** S − α of one pair in float64. `row` has room for the affinities, `value` and `indices` for those above a bound. */
function exactExcess(
  logits: usize,
  kind: i32,
  price: usize,
  experts: i32,
  topK: i32,
  expert: i32,
  row: usize,
  value: usize,
  indices: usize,
  groups: usize,
): f64 {
  if (kind == SOFTMAX) softmaxAffinities(logits, 1, experts, row);
  else if (kind == SIGMOID) sigmoidAffinities(logits, experts, row);
  else if (kind == LOGITS) logitAffinities(logits, experts, row);
  else sqrtSoftplusAffinities(logits, experts, row);
  if (smallestOf(logits, experts) == -Infinity) {
    for (let e: usize = 0; e < <usize>experts; e++) {
      if (load<f32>(logits + (e << 2)) == -Infinity) store<f64>(row + (e << 3), -Infinity);
    }
  }
  const own = load<f64>(row + ((<usize>expert) << 3));
  if (own == -Infinity) return own;
  const bound = groupBound(row, price, experts, topK + 1, groups);
  const count = packAbove(row, price, experts, bound, value, indices);
  const threshold = count <= topK ? -Infinity : lastOfLargest(value, count, topK + 1, groups);
  return threshold == -Infinity ? Infinity : own - threshold;
}

/** See `Kernels.priceQuantiles`. */
export function priceQuantiles(
  logits: usize,
  kind: i32,
  bias: usize,
  excess: usize,
  error: usize,
  next: usize,
  room: i32,
  listCount: usize,
  listKey: usize,
  listToken: usize,
  listed: usize,
  tokens: i32,
  experts: i32,
  topK: i32,
  rank: i32,
  out: usize,
  scratch: usize,
): void {
  const stride = strideOf(tokens);
  const rowBytes = (<usize>experts + 4) << 3;
  const keys = scratch;
  const packed = keys + <usize>BLOCK * stride;
  const packedTokens = packed + stride;
  const least = packedTokens + stride;
  const most = least + 2 * stride;
  const sorted = most + 2 * stride;
  const histogram = sorted + 2 * stride;
  const price = histogram + HISTOGRAM_BYTES;
  const row = price + rowBytes;
  const value = row + rowBytes;
  const indices = value + rowBytes;
  const groups = indices + rowBytes;
  const width = (<usize>experts) << 2;
  const reach = load<f64>(listed);
  let widest: f64 = 0;
  for (let t: usize = 0; t < <usize>tokens; t++) widest = max(widest, load<f64>(error + (t << 3)));
  for (let e: usize = 0; e < <usize>experts; e++) store<f64>(price + (e << 3), 0 - load<f64>(bias + (e << 3)));
  for (let block = 0; block < experts; block += BLOCK) {
    const columns = min(BLOCK, experts - block);
    // Of the columns of the block, those that have keys, a bit each.
    let made: u32 = 0;
    for (let expert = block; expert < block + columns; expert++) {
      const own = load<f64>(price + ((<usize>expert) << 3));
      // First from the list, where what is not in it is surely too small.
      let from = listKey + ((<usize>expert * room) << 2);
      let fromTokens = listToken + ((<usize>expert * room) << 2);
      let count = load<i32>(listCount + ((<usize>expert) << 2));
      let key = 0;
      let low = i32.MIN_VALUE;
      let isSure = reach >= 0 && count >= rank && count <= room;
      if (isSure) {
        key = rankedByHalving(from, count, rank);
        const bound = <f64>keyOf(key) - 2 * widest;
        low = orderedScalar(roundedDown(bound));
        isSure = bound > own - reach + 2 * widest;
      }
      if (!isSure) {
        if ((made & (1 << (expert - block))) == 0) {
          // Few columns are missed by lists, and then not their neighbours.
          const first = reach < 0 ? 0 : (expert - block) & ~3;
          const some = reach < 0 ? columns : min(4, columns - first);
          blockKeys(excess + ((<usize>(block + first)) << 2), width, some, tokens, keys + (<usize>first) * stride);
          made |= ((1 << some) - 1) << first;
        }
        const column = keys + (<usize>(expert - block)) * stride;
        from = packed;
        fromTokens = packedTokens;
        let bound = boundBySample(column, tokens, rank, packed);
        count = packKeys(column, tokens, bound, packed, packedTokens);
        if (count < rank) {
          bound = i32.MIN_VALUE;
          count = packKeys(column, tokens, bound, packed, packedTokens);
        }
        key = bound == i32.MIN_VALUE
          ? rankedKey(packed, count, rank, histogram)
          : rankedByHalving(packed, count, rank);
        low = orderedScalar(roundedDown(<f64>keyOf(key) - 2 * widest));
        if (low < bound) count = packKeys(column, tokens, low, packed, packedTokens);
      }
      const high = orderedScalar(roundedUp(<f64>keyOf(key) + 2 * widest));
      let above = 0;
      let size: usize = 0;
      for (let i: usize = 0; i < <usize>count; i++) {
        const one = load<i32>(from + (i << 2));
        above += <i32>(one > high);
        if (one > high || one < low) continue;
        const t = load<i32>(fromTokens + (i << 2));
        const isNext = load<i32>(next + ((<usize>t) << 2)) == expert;
        const middle = isNext ? own : <f64>keyOf(one);
        const margin = isNext ? 0 : load<f64>(error + ((<usize>t) << 3));
        store<i32>(packedTokens + (size << 2), t);
        store<f64>(least + (size << 3), middle - margin);
        store<f64>(most + (size << 3), middle + margin);
        size += 1;
      }
      const lower = lastOfLargest(least, <i32>size, rank - above, sorted);
      const upper = lastOfLargest(most, <i32>size, rank - above, sorted);
      if (lower == upper && abs(lower) < <f64>UNLIMITED / 2) {
        store<f64>(out + ((<usize>expert) << 3), lower);
        continue;
      }
      let open: usize = 0;
      for (let i: usize = 0; i < size; i++) {
        if (load<f64>(least + (i << 3)) > upper) above += 1;
        if (load<f64>(least + (i << 3)) > upper || load<f64>(most + (i << 3)) < lower) continue;
        const t = <usize>load<i32>(packedTokens + (i << 2));
        const d = load<i32>(next + (t << 2)) == expert
          ? own
          : exactExcess(logits + t * width, kind, price, experts, topK, expert, row, value, indices, groups);
        store<f64>(least + (open << 3), d);
        open += 1;
      }
      store<f64>(out + ((<usize>expert) << 3), lastOfLargest(least, <i32>open, rank - above, sorted));
    }
  }
}

/** A float32 that is not above x, and one that is not below; infinite ones stay. */
// @ts-ignore: decorator
@inline
function roundedDown(x: f64): f32 {
  const rounded = <f32>x;
  return <f64>rounded <= x ? rounded : rounded - abs(rounded) * <f32>1.2e-7 - <f32>1e-45;
}

// @ts-ignore: decorator
@inline
function roundedUp(x: f64): f32 {
  const rounded = <f32>x;
  return <f64>rounded >= x ? rounded : rounded + abs(rounded) * <f32>1.2e-7 + <f32>1e-45;
}
