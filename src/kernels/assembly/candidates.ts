import { firstInOrder } from "./heap";
import { keyError, writeExactKeys } from "./keys";

// Putting the few candidates of a row into order. With a bias their float32 keys have an error of at most δ, see
// `keys.ts`. Consecutive keys k ≥ k' of the candidates with k − k' > δ(k) + δ(k') are in their true order, and so are
// all before with respect to all after. Equal logits with equal biases are in order too. So where every pair up to the
// first such gap at or after place K is certain or such a tie, the K first are the true ones. Otherwise the candidates'
// keys are computed in float64, with the host's exponential.

/** Up to this many candidates are ordered by counting, without branches; more by a heap. */
// @ts-ignore: decorator
@inline
const COUNTED: i32 = 80;

// The scratch: float64 keys, float32 keys, float32 biases, candidates, heap and order of up to E experts each, and the
// composite keys of the counted candidates.

// @ts-ignore: decorator
@inline
export function padded(experts: i32): usize {
  return (<usize>experts + 7) & ~3;
}

/** Bytes of scratch of a selection among `experts`, a multiple of 8. */
export function selectScratch(experts: i32): usize {
  return 28 * padded(experts) + 8 * (COUNTED + 4);
}

// @ts-ignore: decorator
@inline
export function exactKeysOf(scratch: usize): usize {
  return scratch;
}

// @ts-ignore: decorator
@inline
export function keysOf(scratch: usize, experts: i32): usize {
  return scratch + 8 * padded(experts);
}

// @ts-ignore: decorator
@inline
export function biasesOf(scratch: usize, experts: i32): usize {
  return scratch + 12 * padded(experts);
}

// @ts-ignore: decorator
@inline
export function candidatesOf(scratch: usize, experts: i32): usize {
  return scratch + 16 * padded(experts);
}

// @ts-ignore: decorator
@inline
function heapOf(scratch: usize, experts: i32): usize {
  return scratch + 20 * padded(experts);
}

// @ts-ignore: decorator
@inline
export function orderOf(scratch: usize, experts: i32): usize {
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
export function orderByHeap(scratch: usize, experts: i32, size: i32, count: i32): void {
  const heap = heapOf(scratch, experts);
  memory.copy(heap, candidatesOf(scratch, experts), (<usize>size) << 2);
  firstInOrder(heap, size, exactKeysOf(scratch), count, orderOf(scratch, experts));
}

/** The `count` first of the `size` candidates in order of the float32 `keys`; all of them up to {@link COUNTED}. */
export function orderCandidates(scratch: usize, experts: i32, keys: usize, size: i32, count: i32): void {
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
export function takeFirst(order: usize, topK: i32, expert: usize, loads: usize): void {
  for (let slot: usize = 0; slot < <usize>topK; slot++) {
    const chosen = load<i32>(order + (slot << 2));
    store<i32>(expert + (slot << 2), chosen);
    const at = loads + ((<usize>chosen) << 2);
    store<i32>(at, load<i32>(at) + 1);
  }
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

/** Orders the candidates by float64 keys. */
function settle(scratch: usize, row: usize, kind: i32, bias: usize, experts: i32, size: i32, count: i32): void {
  writeExactKeys(row, kind, bias, experts, candidatesOf(scratch, experts), size, exactKeysOf(scratch));
  orderByHeap(scratch, experts, size, count);
}

/** Brings the true `topK` first of the `size` candidates into `orderOf(scratch, experts)`. */
export function orderFirst(
  scratch: usize,
  row: usize,
  kind: i32,
  bias: usize,
  experts: i32,
  size: i32,
  topK: i32,
  most: f32,
  largestBias: f32,
): void {
  const keys = keysOf(scratch, experts);
  const order = orderOf(scratch, experts);
  const count = size <= COUNTED ? size : min(topK + 1, size);
  orderCandidates(scratch, experts, keys, size, count);
  if (!isSettled(order, count, size, topK, keys, row, bias, most, largestBias)) {
    settle(scratch, row, kind, bias, experts, size, topK);
  }
}
