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

/**
 * The `count` first of the `size` candidates in order of their float64 keys, and the others with the last one's key; returns
 * how many. The candidates stay.
 */
export function orderByHeap(scratch: usize, experts: i32, size: i32, count: i32): i32 {
  const heap = heapOf(scratch, experts);
  memory.copy(heap, candidatesOf(scratch, experts), (<usize>size) << 2);
  return firstInOrder(heap, size, exactKeysOf(scratch), count, orderOf(scratch, experts));
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

/** Whether an expert is disabled for the token of this row. */
// @ts-ignore: decorator
@inline
export function isDisabled(row: usize, expert: i32): bool {
  return load<f32>(row + ((<usize>expert) << 2)) == -Infinity;
}

/** Writes the order's `topK` first experts to `expert`, −1 for disabled ones, and counts them in `load`. */
// @ts-ignore: decorator
@inline
export function takeFirst(order: usize, topK: i32, row: usize, expert: usize, loads: usize): void {
  for (let slot: usize = 0; slot < <usize>topK; slot++) {
    const chosen = load<i32>(order + (slot << 2));
    if (chosen < 0 || isDisabled(row, chosen)) {
      store<i32>(expert + (slot << 2), -1);
      continue;
    }
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

/**
 * Of experts with equal keys and equal biases float64 has lost the order of the affinities, but not of the logits: they
 * share the places they have in the order by their logits. `ordered` experts are in order, of which `count` matter.
 */
function orderTiesByLogit(order: usize, ordered: i32, count: i32, exactKeys: usize, row: usize, bias: usize): void {
  for (let place = 0; place < count; place++) {
    const first = load<i32>(order + ((<usize>place) << 2));
    const key = load<f64>(exactKeys + ((<usize>first) << 3));
    const own = load<f64>(bias + ((<usize>first) << 3));
    let best = first;
    let bestPlace = place;
    for (let other = place + 1; other < ordered; other++) {
      const e = load<i32>(order + ((<usize>other) << 2));
      if (load<f64>(exactKeys + ((<usize>e) << 3)) != key) break;
      if (load<f64>(bias + ((<usize>e) << 3)) != own) continue;
      const logit = load<f32>(row + ((<usize>e) << 2));
      const most = load<f32>(row + ((<usize>best) << 2));
      if (logit < most || (logit == most && e > best)) continue;
      best = e;
      bestPlace = other;
    }
    store<i32>(order + ((<usize>place) << 2), best);
    store<i32>(order + ((<usize>bestPlace) << 2), first);
  }
}

/** Orders the `count` first of the candidates by float64 keys, ties as {@link orderTiesByLogit}. */
export function settle(scratch: usize, row: usize, kind: i32, bias: usize, experts: i32, size: i32, count: i32): void {
  writeExactKeys(row, kind, bias, experts, candidatesOf(scratch, experts), size, exactKeysOf(scratch));
  const ordered = orderByHeap(scratch, experts, size, count);
  orderTiesByLogit(orderOf(scratch, experts), ordered, count, exactKeysOf(scratch), row, bias);
}

/** Makes the experts of a row that are not disabled the candidates; returns how many there are. */
export function enabledCandidates(scratch: usize, row: usize, experts: i32): i32 {
  const candidates = candidatesOf(scratch, experts);
  let size: usize = 0;
  for (let e = 0; e < experts; e++) {
    if (isDisabled(row, e)) continue;
    store<i32>(candidates + (size << 2), e);
    size += 1;
  }
  return <i32>size;
}

/** Brings the `topK` first of the experts that are not disabled into the order, then −1. */
function orderEnabled(scratch: usize, row: usize, kind: i32, bias: usize, experts: i32, topK: i32): void {
  const size = enabledCandidates(scratch, row, experts);
  settle(scratch, row, kind, bias, experts, size, min(topK, size));
  const order = orderOf(scratch, experts);
  for (let slot = size; slot < topK; slot++) store<i32>(order + ((<usize>slot) << 2), -1);
}

/**
 * Brings the true `topK` first of the `size` candidates into `orderOf(scratch, experts)`. A disabled expert can be a
 * candidate by its bias. Where none is among the first, leaving them out changes nothing; where one is, all are ordered
 * again without them.
 */
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
  for (let slot: usize = 0; slot < <usize>topK; slot++) {
    if (isDisabled(row, load<i32>(order + (slot << 2)))) {
      orderEnabled(scratch, row, kind, bias, experts, topK);
      return;
    }
  }
}
