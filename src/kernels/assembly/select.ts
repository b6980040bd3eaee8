import { firstInOrder } from "./heap";
import { hostExp } from "./host";
import { largestOf } from "./lanes";
import { sigmoidScores } from "./scores";
import { softmaxWeight, softmaxWeights } from "./softmax";
import { indicesFrom, lowerBound } from "./threshold";

// Selection in three steps whose cost grows with E and not with E·K: a lower bound of the K-th key from one pass
// without branches, the few candidates that reach it from a second, and the order of those.
//
// With a bias the first two steps see float32 keys. Let δ(k) bound the error of a float32 key k. The key is
// fl(s + fl(b)) with s the affinity or the logit, so with B = max |b|
//
//     δ(k) = margin · min(S_max, |k| + B) + 2^−23 · (|k| + B) + 10^−37
//
// where margin = 1e-6 for affinities (the bound of `softmax.ts` and `exp.ts`; an affinity is at most S_max of its row
// and at most |k| + B) and 0 for logits, which are exact; the two roundings are together half of the second term; the third
// covers affinities that are not normal numbers. k ± δ(k) grow with k, since δ changes by less than k does. Hence:
//
// - At least K keys are ≥ the bound θ, so the true K-th key is ≥ θ − δ(θ); an expert of the true choice has
//   k + δ(k) ≥ θ − δ(θ), so k ≥ θ − 3·δ(θ) with room for the rounding of this expression: all are candidates.
// - Consecutive keys k ≥ k' of the candidates with k − k' > δ(k) + δ(k') are in their true order, and so are all before
//   with respect to all after. Equal logits with equal biases are in order too. So where every pair up to the first
//   such gap at or after place K is certain or such a tie, the K first are the true ones.
//
// Otherwise the candidates' keys are computed in float64, with the host's exponential.

// @ts-ignore: decorator
@inline
const LOGITS: i32 = 0;
// @ts-ignore: decorator
@inline
const SOFTMAX: i32 = 1;

/** Up to this many candidates are ordered by counting, without branches; more by a heap. */
// @ts-ignore: decorator
@inline
const COUNTED: i32 = 80;

// The scratch: float64 keys, float32 keys, float32 biases, candidates, heap and order of up to E experts each, and the
// composite keys of the counted candidates.

// @ts-ignore: decorator
@inline
function padded(experts: i32): usize {
  return (<usize>experts + 7) & ~3;
}

/** Bytes of scratch that {@link selectTopK} and {@link selectTopKBiased} need. */
export function selectScratch(experts: i32): usize {
  return 28 * padded(experts) + 8 * (COUNTED + 4);
}

// @ts-ignore: decorator
@inline
function exactKeysOf(scratch: usize): usize {
  return scratch;
}

// @ts-ignore: decorator
@inline
function keysOf(scratch: usize, experts: i32): usize {
  return scratch + 8 * padded(experts);
}

// @ts-ignore: decorator
@inline
function biasesOf(scratch: usize, experts: i32): usize {
  return scratch + 12 * padded(experts);
}

// @ts-ignore: decorator
@inline
function candidatesOf(scratch: usize, experts: i32): usize {
  return scratch + 16 * padded(experts);
}

// @ts-ignore: decorator
@inline
function heapOf(scratch: usize, experts: i32): usize {
  return scratch + 20 * padded(experts);
}

// @ts-ignore: decorator
@inline
function orderOf(scratch: usize, experts: i32): usize {
  return scratch + 24 * padded(experts);
}

// @ts-ignore: decorator
@inline
function compositesOf(scratch: usize, experts: i32): usize {
  return scratch + 28 * padded(experts);
}

/** Float32 as an int32 of the same order, −0 as +0. */
// @ts-ignore: decorator
@inline
function orderedBits(key: f32): i32 {
  const bits = reinterpret<i32>(key + 0);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

/**
 * Orders up to {@link COUNTED} candidates: the place of each is the number of those before it. Key and index are one
 * int64, so that no two are equal.
 */
function orderByCounting(keys: usize, candidates: usize, size: i32, composites: usize, order: usize): void {
  for (let i: usize = 0; i < <usize>size; i++) {
    const index = load<i32>(candidates + (i << 2));
    const key = load<f32>(keys + ((<usize>index) << 2));
    store<i64>(composites + (i << 3), ((<i64>orderedBits(key)) << 32) | (<i64>(<u32>~index)));
  }
  const end = composites + ((<usize>size) << 3);
  // Padding that is before nothing.
  v128.store(end, i64x2.splat(i64.MIN_VALUE));
  v128.store(end, i64x2.splat(i64.MIN_VALUE), 16);
  for (let i: usize = 0; i < <usize>size; i++) {
    const own = v128.load64_splat(composites + (i << 3));
    let before = i64x2.splat(0);
    let beforeToo = before;
    for (let at = composites; at < end; at += 32) {
      before = i64x2.sub(before, i64x2.gt_s(v128.load(at), own));
      beforeToo = i64x2.sub(beforeToo, i64x2.gt_s(v128.load(at, 16), own));
    }
    before = i64x2.add(before, beforeToo);
    const place = <usize>(i64x2.extract_lane(before, 0) + i64x2.extract_lane(before, 1));
    store<i32>(order + (place << 2), load<i32>(candidates + (i << 2)));
  }
}

/** The `count` first of the `size` candidates in order of their float64 keys; the candidates stay. */
function orderByHeap(scratch: usize, experts: i32, size: i32, count: i32): void {
  const heap = heapOf(scratch, experts);
  memory.copy(heap, candidatesOf(scratch, experts), (<usize>size) << 2);
  firstInOrder(heap, size, exactKeysOf(scratch), count, orderOf(scratch, experts));
}

/** The `count` first of the `size` candidates in order of the float32 `keys`. */
function orderCandidates(scratch: usize, experts: i32, keys: usize, size: i32, count: i32): void {
  const candidates = candidatesOf(scratch, experts);
  if (size <= COUNTED) {
    orderByCounting(keys, candidates, size, compositesOf(scratch, experts), orderOf(scratch, experts));
    return;
  }
  const exactKeys = exactKeysOf(scratch);
  for (let i: usize = 0; i < <usize>size; i++) {
    const index = <usize>load<i32>(candidates + (i << 2));
    store<f64>(exactKeys + (index << 3), <f64>load<f32>(keys + (index << 2)));
  }
  orderByHeap(scratch, experts, size, count);
}

/** Writes the order's `topK` first experts to `expert` and counts them in `load`. */
// @ts-ignore: decorator
@inline
function takeFirst(order: usize, topK: i32, expert: usize, loads: usize): void {
  for (let slot: usize = 0; slot < <usize>topK; slot++) {
    const chosen = load<i32>(order + (slot << 2));
    store<i32>(expert + (slot << 2), chosen);
    const at = loads + ((<usize>chosen) << 2);
    store<i32>(at, load<i32>(at) + 1);
  }
}

export function selectTopK(
  logits: usize,
  tokens: i32,
  experts: i32,
  topK: i32,
  expert: usize,
  loads: usize,
  scratch: usize,
): void {
  memory.fill(loads, 0, (<usize>experts) << 2);
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const row = logits + ((t * experts) << 2);
    const size = indicesFrom(row, experts, lowerBound(row, experts, topK), candidatesOf(scratch, experts));
    orderCandidates(scratch, experts, row, size, topK);
    takeFirst(orderOf(scratch, experts), topK, expert + ((t * topK) << 2), loads);
  }
}

/** Writes from · factor + biases of a row to `to`, which may be `from`. */
function addBiases(from: usize, factor: f32, biases: usize, experts: i32, to: usize): void {
  const lanes = f32x4.splat(factor);
  let e = 0;
  for (; e + 4 <= experts; e += 4) {
    const at = (<usize>e) << 2;
    v128.store(to + at, f32x4.add(f32x4.mul(v128.load(from + at), lanes), v128.load(biases + at)));
  }
  for (; e < experts; e++) {
    const at = (<usize>e) << 2;
    store<f32>(to + at, load<f32>(from + at) * factor + load<f32>(biases + at));
  }
}

/** Writes the row's float32 keys to `to` and returns S_max, the most an affinity of the row can be; 0 for logits. */
function rowKeys(row: usize, kind: i32, biases: usize, experts: i32, to: usize): f32 {
  if (kind == LOGITS) {
    addBiases(row, 1, biases, experts, to);
    return 0;
  }
  if (kind == SOFTMAX) {
    const largest = largestOf(row, experts);
    const inverse = <f32>(1 / softmaxWeights(row, experts, largest, to));
    addBiases(to, inverse, biases, experts, to);
    return softmaxWeight(largest, largest) * inverse;
  }
  sigmoidScores(row, experts, to);
  addBiases(to, 1, biases, experts, to);
  return 1;
}

/** The key of one expert as a float64 implementation has it, in the host's own steps. */
function exactKey(logit: f64, kind: i32, largest: f64, sum: f64, bias: f64): f64 {
  if (kind == LOGITS) return logit + bias;
  if (kind == SOFTMAX) return hostExp(logit - largest) / sum + bias;
  return 1 / (1 + hostExp(-logit)) + bias;
}

/** Σ exp(z − largest) as the plain TypeScript twin sums it. */
export function hostSumExp(row: usize, experts: i32, largest: f64): f64 {
  let sum: f64 = 0;
  for (let e: usize = 0; e < <usize>experts; e++) sum += hostExp(<f64>load<f32>(row + (e << 2)) - largest);
  return sum;
}

/** Orders the candidates by float64 keys. */
function settle(scratch: usize, row: usize, kind: i32, bias: usize, experts: i32, size: i32, count: i32): void {
  const candidates = candidatesOf(scratch, experts);
  const exactKeys = exactKeysOf(scratch);
  const largest = kind == SOFTMAX ? <f64>largestOf(row, experts) : 0;
  const sum = kind == SOFTMAX ? hostSumExp(row, experts, largest) : 1;
  for (let i: usize = 0; i < <usize>size; i++) {
    const e = <usize>load<i32>(candidates + (i << 2));
    const logit = <f64>load<f32>(row + (e << 2));
    store<f64>(exactKeys + (e << 3), exactKey(logit, kind, largest, sum, load<f64>(bias + (e << 3))));
  }
  orderByHeap(scratch, experts, size, count);
}

/** δ of the comment above; `most` is S_max, 0 for logits. */
// @ts-ignore: decorator
@inline
function keyError(key: f32, most: f32, largestBias: f32): f32 {
  const size = abs(key) + largestBias;
  return <f32>1e-6 * min(most, size) + <f32>1.1920929e-7 * size + <f32>1e-37;
}

/** Whether the float32 keys of two experts, the first not below the second, are certain to be in their true order. */
// @ts-ignore: decorator
@inline
function isCertain(first: usize, second: usize, keys: usize, most: f32, largestBias: f32): bool {
  const key = load<f32>(keys + (first << 2));
  const next = load<f32>(keys + (second << 2));
  return key - next > keyError(key, most, largestBias) + keyError(next, most, largestBias);
}

/** Whether two experts have the same logit and the same bias and so the same key, which the lower index wins. */
// @ts-ignore: decorator
@inline
function isTie(first: usize, second: usize, row: usize, bias: usize): bool {
  return (
    load<f32>(row + (first << 2)) == load<f32>(row + (second << 2)) &&
    load<f64>(bias + (first << 3)) == load<f64>(bias + (second << 3))
  );
}

/**
 * Whether the order of the float32 keys is the true one as far as its first `topK` go. `count` of the `size` candidates
 * are in order.
 */
function isSettled(
  order: usize,
  count: i32,
  size: i32,
  topK: i32,
  keys: usize,
  row: usize,
  bias: usize,
  most: f32,
  largestBias: f32,
): bool {
  for (let place = 1; place < count; place++) {
    const first = <usize>load<i32>(order + ((<usize>(place - 1)) << 2));
    const second = <usize>load<i32>(order + ((<usize>place) << 2));
    if (isCertain(first, second, keys, most, largestBias)) {
      if (place >= topK) return true;
    } else if (!isTie(first, second, row, bias)) {
      return false;
    }
  }
  return count == size;
}

export function selectTopKBiased(
  logits: usize,
  kind: i32,
  bias: usize,
  tokens: i32,
  experts: i32,
  topK: i32,
  expert: usize,
  loads: usize,
  scratch: usize,
): void {
  const keys = keysOf(scratch, experts);
  const biases = biasesOf(scratch, experts);
  const order = orderOf(scratch, experts);
  let largestBias: f32 = 0;
  for (let e: usize = 0; e < <usize>experts; e++) {
    const rounded = <f32>load<f64>(bias + (e << 3));
    store<f32>(biases + (e << 2), rounded);
    largestBias = max(largestBias, abs(rounded));
  }
  memory.fill(loads, 0, (<usize>experts) << 2);
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const row = logits + ((t * experts) << 2);
    const most = rowKeys(row, kind, biases, experts, keys);
    const bound = lowerBound(keys, experts, topK);
    const cutoff = bound == -Infinity ? bound : bound - 3 * keyError(bound, most, largestBias);
    const size = indicesFrom(keys, experts, cutoff, candidatesOf(scratch, experts));
    const count = size <= COUNTED ? size : min(topK + 1, size);
    orderCandidates(scratch, experts, keys, size, count);
    if (!isSettled(order, count, size, topK, keys, row, bias, most, largestBias)) {
      settle(scratch, row, kind, bias, experts, size, topK);
    }
    takeFirst(order, topK, expert + ((t * topK) << 2), loads);
  }
}
