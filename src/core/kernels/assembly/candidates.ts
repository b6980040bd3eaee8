import { firstInOrder } from "./heap";
import { keyError, writeExactKeys } from "./keys";
import { SPARE_BYTES } from "./threshold";

// Putting the few candidates of a row into order. With a bias their float32 keys have an error of at most δ, see
// `keys.ts`. Consecutive keys k ≥ k' of the candidates with k − k' > δ(k) + δ(k') are in their true order, and so are
// all before with respect to all after. Equal logits with equal biases are in order too. So where every pair up to the
// first such gap at or after place K is certain or such a tie, the K first are the true ones. Otherwise the candidates'
// keys are computed in float64, with the host's exponential.

/** Up to this many candidates are ordered by counting, without branches; more by a heap. */
// @ts-ignore: decorator
@inline
const COUNTED: i32 = 80;
/** Room for that many in blocks of 24. */
// @ts-ignore: decorator
@inline
const COUNTED_BLOCKS: i32 = 96;

// The scratch: float64 keys, float32 keys, float32 biases, candidates, heap and order of up to E experts each, and the
// keys and places of the counted candidates.

// @ts-ignore: decorator
@inline
export function padded(experts: i32): usize {
  return ((<usize>experts + 3) & ~3) + (SPARE_BYTES >> 2);
}

/** Bytes of scratch of a selection among `experts`, a multiple of 8. */
export function selectScratch(experts: i32): usize {
  return 28 * padded(experts) + 8 * COUNTED_BLOCKS;
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
 * Orders up to {@link COUNTED} candidates without branches: the place of each is the number of those before it, counted
 * for 24 at a time in registers. `sorted` is scratch for the candidates' keys and places.
 */
function orderByCounting(keys: usize, candidates: usize, size: i32, sorted: usize, order: usize): void {
  const end = sorted + ((<usize>size) << 2);
  for (let at = sorted, from = candidates; at < end; at += 4, from += 4) {
    store<f32>(at, load<f32>(keys + ((<usize>load<i32>(from)) << 2)));
  }
  for (let block = sorted; block < end; block += 96) {
    const k0 = v128.load(block);
    const k1 = v128.load(block, 16);
    const k2 = v128.load(block, 32);
    const k3 = v128.load(block, 48);
    const k4 = v128.load(block, 64);
    const k5 = v128.load(block, 80);
    let p0 = i32x4.splat(0);
    let p1 = p0, p2 = p0, p3 = p0, p4 = p0, p5 = p0;
    for (let at = sorted; at < end; at += 4) {
      const other = v128.load32_splat(at);
      p0 = i32x4.sub(p0, f32x4.gt(other, k0));
      p1 = i32x4.sub(p1, f32x4.gt(other, k1));
      p2 = i32x4.sub(p2, f32x4.gt(other, k2));
      p3 = i32x4.sub(p3, f32x4.gt(other, k3));
      p4 = i32x4.sub(p4, f32x4.gt(other, k4));
      p5 = i32x4.sub(p5, f32x4.gt(other, k5));
    }
    const to = block + 4 * COUNTED_BLOCKS;
    v128.store(to, p0);
    v128.store(to, p1, 16);
    v128.store(to, p2, 32);
    v128.store(to, p3, 48);
    v128.store(to, p4, 64);
    v128.store(to, p5, 80);
  }
  let places = 0;
  for (let at = sorted, from = candidates; at < end; at += 4, from += 4) {
    const place = load<i32>(at + 4 * COUNTED_BLOCKS);
    places += place;
    store<i32>(order + ((<usize>place) << 2), load<i32>(from));
  }
  // Equal keys have counted themselves to the same place, too low for all but one.
  if (places != (size * (size - 1)) >> 1) orderTiesByCounting(keys, candidates, size, sorted, order);
}

/** The same where keys are equal: key and index are one int64, so that no two are. */
function orderTiesByCounting(keys: usize, candidates: usize, size: i32, composites: usize, order: usize): void {
  for (let i: usize = 0; i < <usize>size; i++) {
    const index = load<i32>(candidates + (i << 2));
    const key = load<f32>(keys + ((<usize>index) << 2));
    store<i64>(composites + (i << 3), ((<i64>orderedBits(key)) << 32) | (<i64>(<u32>~index)));
  }
  const end = composites + ((<usize>size) << 3);
  v128.store(end, i64x2.splat(i64.MIN_VALUE));
  for (let i: usize = 0; i < <usize>size; i++) {
    const own = v128.load64_splat(composites + (i << 3));
    let before = i64x2.splat(0);
    for (let at = composites; at < end; at += 16) before = i64x2.sub(before, i64x2.gt_s(v128.load(at), own));
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
 * Whether each of the `count` first in order is further from the next than any two errors among them, which grow with
 * |key| and so are no larger than those at the ends. Nearly always, and quickly known.
 */
// @ts-ignore: decorator
@inline
function areApart(order: usize, count: i32, keys: usize, most: f32, largestBias: f32): bool {
  let key = orderedKey(order, 0, keys);
  const last = orderedKey(order, count - 1, keys);
  const margin: f32 = 2 * (keyError(key, most, largestBias) + keyError(last, most, largestBias));
  for (let place = 1; place < count; place++) {
    const next = orderedKey(order, place, keys);
    if (!(key - next > margin)) return false;
    key = next;
  }
  return true;
}

// @ts-ignore: decorator
@inline
function orderedKey(order: usize, place: i32, keys: usize): f32 {
  return load<f32>(keys + ((<usize>load<i32>(order + ((<usize>place) << 2))) << 2));
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
  if (areApart(order, min(topK + 1, size), keys, most, largestBias)) return true;
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
