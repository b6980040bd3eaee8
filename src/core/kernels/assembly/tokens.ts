import { firstInOrder } from "./heap";
import { hostExp, hostLog } from "./host";
import { largestOf } from "./lanes";
import { hostSumExp } from "./keys";
import { logRelativeSum, softmaxWeightSum } from "./softmax";

// Selection along columns. Four columns at a time are turned into rows of int32 keys that order as the float32 keys do,
// a radix search finds each column's `capacity`-th key exactly, and one scan takes what is above it.
//
// A softmax is not monotone in the logits along a column, but its logarithm k = (z − max) − log Σ e^(z − max) is one
// float32 key for all rows. Both terms are at most |k| in size; the difference z − max, the logarithm and k are each
// rounded to float32, and the logarithm is of a sum with relative error below 1e-6. So the error of k is at most
// 3·2^−24·|k| + 1e-6, and δ below has twice that. As in `select.ts`, tokens more than 2δ above the column's float32
// threshold are certain, those more than 2δ below are out, and those between are settled in float64 where there are
// more of them than places. Below e^−700 float64 has hardly any normal numbers left: from there on everything is
// settled, so that ties are those of float64.

/** Radix digits of 11, 11 and 10 bits. */
// @ts-ignore: decorator
@inline
const BUCKETS: i32 = 2048;

/** Bytes of scratch of {@link rankedKey}. */
export const HISTOGRAM_BYTES: usize = 4 * 2048;

// @ts-ignore: decorator
@inline
const DENORMAL: f32 = -700;

// @ts-ignore: decorator
@inline
export function padded(tokens: i32): usize {
  return (<usize>tokens + 3) & ~3;
}

/** Bytes of scratch that {@link selectTokens} needs. */
export function tokensScratch(tokens: i32): usize {
  return 52 * padded(tokens) + HISTOGRAM_BYTES;
}

/** An int32 of the same order as the float32 in each lane, −0 as +0, and back. */
// @ts-ignore: decorator
@inline
export function ordered(keys: v128): v128 {
  const bits = f32x4.add(keys, f32x4.splat(0));
  return v128.xor(bits, i32x4.shr_u(i32x4.shr_s(bits, 31), 1));
}

// @ts-ignore: decorator
@inline
export function orderedScalar(key: f32): i32 {
  return i32x4.extract_lane(ordered(f32x4.splat(key)), 0);
}

// @ts-ignore: decorator
@inline
export function keyOf(bits: i32): f32 {
  return reinterpret<f32>(bits ^ ((bits >> 31) & 0x7fffffff));
}

/** The keys of four experts from `expert` on, `[4 × tokens]`; with fewer than four experts only those that exist. */
function columnKeys(
  logits: usize,
  softmax: bool,
  largest: usize,
  logSum: usize,
  tokens: i32,
  experts: i32,
  expert: i32,
  to: usize,
): void {
  const stride = padded(tokens) << 2;
  const columns = min(4, experts);
  const width = (<usize>experts) << 2;
  const first = logits + ((<usize>expert) << 2);
  let t = 0;
  if (columns == 4) {
    for (; t + 4 <= tokens; t += 4) {
      const from = first + (<usize>t) * width;
      let r0 = v128.load(from);
      let r1 = v128.load(from + width);
      let r2 = v128.load(from + 2 * width);
      let r3 = v128.load(from + 3 * width);
      const a = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5);
      const b = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5);
      const c = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7);
      const d = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
      r0 = v128.shuffle<i64>(a, b, 0, 2);
      r1 = v128.shuffle<i64>(a, b, 1, 3);
      r2 = v128.shuffle<i64>(c, d, 0, 2);
      r3 = v128.shuffle<i64>(c, d, 1, 3);
      const at = (<usize>t) << 2;
      if (softmax) {
        const origin = v128.load(largest + at);
        const shift = v128.load(logSum + at);
        r0 = f32x4.sub(f32x4.sub(r0, origin), shift);
        r1 = f32x4.sub(f32x4.sub(r1, origin), shift);
        r2 = f32x4.sub(f32x4.sub(r2, origin), shift);
        r3 = f32x4.sub(f32x4.sub(r3, origin), shift);
      }
      v128.store(to + at, ordered(r0));
      v128.store(to + stride + at, ordered(r1));
      v128.store(to + 2 * stride + at, ordered(r2));
      v128.store(to + 3 * stride + at, ordered(r3));
    }
  }
  for (; t < tokens; t++) {
    const at = (<usize>t) << 2;
    for (let column: usize = 0; column < <usize>columns; column++) {
      let key = load<f32>(first + (<usize>t) * width + (column << 2));
      if (softmax) key = key - load<f32>(largest + at) - load<f32>(logSum + at);
      store<i32>(to + column * stride + at, orderedScalar(key));
    }
  }
}

/** The digit of an ordered key, as an unsigned number. */
// @ts-ignore: decorator
@inline
function digit(key: i32, shift: i32, mask: i32): usize {
  return <usize>(((<u32>key ^ 0x80000000) >> shift) & mask);
}

/** The `rank`-th largest, counted from 1, of `length` ordered keys. */
export function rankedKey(keys: usize, length: i32, rank: i32, histogram: usize): i32 {
  let prefix: u32 = 0;
  let known: u32 = 0;
  let shift = 32;
  let remaining = rank;
  while (shift > 0) {
    const bits = min(shift, 11);
    shift -= bits;
    const mask = (1 << bits) - 1;
    memory.fill(histogram, 0, 4 * BUCKETS);
    const end = keys + ((<usize>length) << 2);
    let at = keys;
    if (known == 0) {
      for (; at < end; at += 4) count(histogram, digit(load<i32>(at), shift, mask));
    } else {
      const wanted = i32x4.splat(prefix ^ 0x80000000);
      const lanes = i32x4.splat(known);
      for (; at + 16 <= end; at += 16) {
        // Few keys share the digits found so far; whole vectors of others are passed over.
        const same = i32x4.eq(v128.and(v128.xor(v128.load(at), wanted), lanes), i32x4.splat(0));
        let hits = i32x4.bitmask(same);
        while (hits != 0) {
          count(histogram, digit(load<i32>(at + ((<usize>ctz(hits)) << 2)), shift, mask));
          hits &= hits - 1;
        }
      }
      for (; at < end; at += 4) {
        const key = load<i32>(at);
        if ((((<u32>key ^ 0x80000000) ^ prefix) & known) == 0) count(histogram, digit(key, shift, mask));
      }
    }
    let bucket = <usize>mask;
    while (load<i32>(histogram + (bucket << 2)) < remaining) {
      remaining -= load<i32>(histogram + (bucket << 2));
      bucket -= 1;
    }
    prefix |= (<u32>bucket) << shift;
    known |= (<u32>mask) << shift;
  }
  return <i32>(prefix ^ 0x80000000);
}

// @ts-ignore: decorator
@inline
function count(histogram: usize, bucket: usize): void {
  const at = histogram + (bucket << 2);
  store<i32>(at, load<i32>(at) + 1);
}

/**
 * Writes the tokens whose key is above `high`, and the first `places` of those with a key in [low, high], in ascending
 * order.
 */
function takeFrom(keys: usize, tokens: i32, low: i32, high: i32, places: i32, to: usize): void {
  const end = keys + ((<usize>tokens) << 2);
  const floor = i32x4.splat(low);
  let at = keys;
  for (; at < end; at += 16) {
    let hits = i32x4.bitmask(i32x4.ge_s(v128.load(at), floor));
    while (hits != 0) {
      const own = at + ((<usize>ctz(hits)) << 2);
      hits &= hits - 1;
      if (own >= end) break;
      if (load<i32>(own) <= high) {
        if (places == 0) continue;
        places -= 1;
      }
      store<i32>(to, <i32>((own - keys) >> 2));
      to += 4;
    }
  }
}

/** How many of the keys are at least `low`. */
export function countFrom(keys: usize, tokens: i32, low: i32): i32 {
  let lanes = i32x4.splat(0);
  const floor = i32x4.splat(low);
  const end = keys + ((<usize>(tokens & ~3)) << 2);
  let at = keys;
  for (; at < end; at += 16) lanes = i32x4.sub(lanes, i32x4.ge_s(v128.load(at), floor));
  let total =
    i32x4.extract_lane(lanes, 0) +
    i32x4.extract_lane(lanes, 1) +
    i32x4.extract_lane(lanes, 2) +
    i32x4.extract_lane(lanes, 3);
  for (let t = tokens & ~3; t < tokens; t++) total += load<i32>(keys + ((<usize>t) << 2)) >= low ? 1 : 0;
  return total;
}

// @ts-ignore: decorator
@inline
function keyError(key: f32): f32 {
  return <f32>3.6e-7 * abs<f32>(key) + <f32>2e-6;
}

/**
 * `chosen` `[experts × capacity]` as in `Kernels.selectTokens`, where every key but the softmax ranks as the logits.
 */
export function selectTokens(
  logits: usize,
  softmax: bool,
  tokens: i32,
  experts: i32,
  capacity: i32,
  chosen: usize,
  scratch: usize,
): void {
  if (capacity == 0) return;
  const stride = padded(tokens) << 2;
  const exactKeys = scratch;
  const exactSums = exactKeys + 2 * stride;
  const keys = exactSums + 2 * stride;
  const largest = keys + 4 * stride;
  const logSum = largest + stride;
  const band = logSum + stride;
  const winners = band + stride;
  const histogram = winners + stride;
  const width = (<usize>experts) << 2;
  if (softmax) {
    // 0 is no sum: a row's float64 sum is made when a near-tie first asks for it.
    memory.fill(exactSums, 0, 2 * stride);
    for (let t: usize = 0; t < <usize>tokens; t++) {
      const row = logits + t * width;
      const most = largestOf(row, experts);
      store<f32>(largest + (t << 2), most == -Infinity ? 0 : most);
      // Of a token with all experts disabled every key is −∞.
      if (most == -Infinity) store<f32>(logSum + (t << 2), 0);
      else store<f32>(logSum + (t << 2), <f32>logRelativeSum(softmaxWeightSum(row, experts, most), most));
    }
  }
  for (let block = 0; block < experts; block += 4) {
    // The last block reaches back over the one before, so that it is whole too.
    const start = max(0, min(block, experts - 4));
    columnKeys(logits, softmax, largest, logSum, tokens, experts, start, keys);
    for (let expert = block; expert < min(block + 4, experts); expert++) {
      const column = keys + (<usize>(expert - start)) * stride;
      const to = chosen + (((<usize>expert) * capacity) << 2);
      const threshold = rankedKey(column, tokens, capacity, histogram);
      if (!softmax) {
        takeFrom(column, tokens, threshold, threshold, capacity - countFrom(column, tokens, threshold + 1), to);
        continue;
      }
      const key = keyOf(threshold);
      const margin: f32 = key == -Infinity ? 0 : 2 * keyError(key);
      const isDenormal = key - margin < DENORMAL;
      const low = orderedScalar(isDenormal ? -Infinity : key - margin);
      const high = orderedScalar(isDenormal ? max(key + margin, DENORMAL) : key + margin);
      const certain = countFrom(column, tokens, high + 1);
      const places = capacity - certain;
      if (countFrom(column, tokens, low) > capacity) {
        settle(
          logits,
          experts,
          expert,
          tokens,
          largest,
          column,
          low,
          high,
          places,
          exactKeys,
          exactSums,
          band,
          winners,
        );
      }
      takeFrom(column, tokens, low, high, places, to);
    }
  }
}

/** The float64 softmax; its logarithm, which is below all of them, where it is hardly a normal number; −∞ if disabled. */
// @ts-ignore: decorator
@inline
function exactKey(exponent: f64, sum: f64): f64 {
  if (exponent > <f64>DENORMAL + 20) return hostExp(exponent) / sum;
  const logarithm = exponent - hostLog(sum);
  return logarithm > <f64>DENORMAL ? hostExp(exponent) / sum : logarithm;
}

/**
 * Finds the `places` best tokens of the band [low, high] by their float64 softmax and takes the others out of the
 * column, so that the band is just as large as its places.
 */
function settle(
  logits: usize,
  experts: i32,
  expert: i32,
  tokens: i32,
  largest: usize,
  column: usize,
  low: i32,
  high: i32,
  places: i32,
  exactKeys: usize,
  exactSums: usize,
  band: usize,
  winners: usize,
): void {
  let size = 0;
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const key = load<i32>(column + (t << 2));
    if (key < low || key > high) continue;
    const row = logits + ((t * experts) << 2);
    const most = <f64>load<f32>(largest + (t << 2));
    let sum = load<f64>(exactSums + (t << 3));
    if (sum == 0) {
      sum = max(hostSumExp(row, experts, most), 1);
      store<f64>(exactSums + (t << 3), sum);
    }
    store<f64>(exactKeys + (t << 3), exactKey(<f64>load<f32>(row + ((<usize>expert) << 2)) - most, sum));
    store<i32>(band + ((<usize>size) << 2), <i32>t);
    store<i32>(column + (t << 2), i32.MIN_VALUE);
    size += 1;
  }
  firstInOrder(band, size, exactKeys, places, winners);
  for (let i: usize = 0; i < <usize>places; i++) {
    store<i32>(column + ((<usize>load<i32>(winners + (i << 2))) << 2), high);
  }
}
