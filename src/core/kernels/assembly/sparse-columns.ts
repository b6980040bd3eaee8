import { largestOf, promoteHigh, promoteLow, sumLanes64 } from "./lanes";

// One column at a time. Its values s = alpha − cost are compared with a bound that about k of them reach, two at a time, and
// those that reach it are packed. Where fewer than k do, a lower bound is tried, at last none.

/** Every how many values of a column are looked at to guess how large the k-th is, and in columns of how many. */
// @ts-ignore: decorator
@inline
const SAMPLE_STRIDE: i32 = 16;
// @ts-ignore: decorator
@inline
const LEAST_SAMPLED: i32 = 512;

/** Bytes of scratch that {@link sparseColumns} needs: packed values, those to be reordered, packed tokens. */
export function sparseColumnsScratch(tokens: i32): usize {
  return <usize>tokens * 20;
}

/** See `Kernels.sparseColumns`; `columnMass` 0 for null. */
export function sparseColumns(
  cost: usize,
  alpha: usize,
  beta: usize,
  columnMass: f64,
  gamma: f64,
  tokens: i32,
  experts: i32,
  maxTokens: i32,
  near: usize,
  count: usize,
  token: usize,
  mass: usize,
  slackSum: usize,
  slackSquares: usize,
  rowSum: usize,
  scratch: usize,
): void {
  const value = scratch;
  const sorted = value + ((<usize>tokens) << 3);
  const packed = sorted + ((<usize>tokens) << 3);
  for (let e: usize = 0; e < <usize>experts; e++) {
    const column = cost + ((e * tokens) << 3);
    const at = e << 3;
    const floor = columnMass > 0 ? -Infinity : -load<f64>(beta + at);
    const selected = selectLargest(column, alpha, tokens, maxTokens, floor, near + (e << 4), value, packed, sorted);
    if (columnMass > 0) {
      memory.copy(sorted, value, (<usize>selected) << 3);
      store<f64>(beta + at, -simplexThreshold(sorted, selected, gamma * columnMass));
    }
    const price = load<f64>(beta + at);
    const ownToken = token + ((e * maxTokens) << 2);
    const ownMass = mass + ((e * maxTokens) << 3);
    let kept: usize = 0;
    let sum: f64 = 0;
    let squares: f64 = 0;
    for (let i: usize = 0; i < <usize>selected; i++) {
      const slack = load<f64>(value + (i << 3)) + price;
      if (slack <= 0) continue;
      const t = load<i32>(packed + (i << 2));
      const row = rowSum + ((<usize>t) << 3);
      const p = slack / gamma;
      store<i32>(ownToken + (kept << 2), t);
      store<f64>(ownMass + (kept << 3), p);
      store<f64>(row, load<f64>(row) + p);
      sum += slack;
      squares += slack * slack;
      kept++;
    }
    store<i32>(count + (e << 2), <i32>kept);
    store<f64>(slackSum + at, sum);
    store<f64>(slackSquares + at, squares);
  }
}

/**
 * Packs the k largest values above `floor`, ties to the lower token, in the order of their tokens; returns how many there
 * are. Leaves in `near` the k-th largest and within what of it the next call looks for the next.
 */
function selectLargest(
  column: usize,
  alpha: usize,
  tokens: i32,
  k: i32,
  floor: f64,
  near: usize,
  value: usize,
  packed: usize,
  sorted: usize,
): i32 {
  if (tokens <= k) return packAbove(column, alpha, tokens, floor, -Infinity, value, packed);
  const last = load<f64>(near);
  const width = load<f64>(near, 8);
  const isKnown = last == last;
  let bound = isKnown ? last - width : sampledBound(column, alpha, tokens, k, sorted);
  let found = packAbove(column, alpha, tokens, floor, bound, value, packed);
  if (found < k && bound > floor && isKnown) {
    bound = sampledBound(column, alpha, tokens, k, sorted);
    found = packAbove(column, alpha, tokens, floor, bound, value, packed);
  }
  if (found < k && bound > floor) {
    bound = -Infinity;
    found = packAbove(column, alpha, tokens, floor, bound, value, packed);
  }
  if (found < k) {
    store<f64>(near, -Infinity);
    store<f64>(near, 0, 8);
    return found;
  }
  memory.copy(sorted, value, (<usize>found) << 3);
  const threshold = kthLargest(sorted, found, k);
  const move = abs(threshold - last);
  const depth = bound > floor ? threshold - bound : 0;
  store<f64>(near, threshold);
  // The values move less and less as a solver closes in.
  store<f64>(near, move < Infinity ? max(2 * move, 0.25 * width) : depth, 8);
  return found == k ? k : keepLargest(value, packed, found, k, threshold);
}

/** A number that about 1.5·k values of the column reach, or −∞. */
function sampledBound(column: usize, alpha: usize, tokens: i32, k: i32, sorted: usize): f64 {
  if (tokens < LEAST_SAMPLED) return -Infinity;
  let samples = 0;
  for (let t = 0; t < tokens; t += SAMPLE_STRIDE) {
    const at = (<usize>t) << 3;
    store<f64>(sorted + ((<usize>samples) << 3), load<f64>(alpha + at) - load<f64>(column + at));
    samples++;
  }
  const rank = (3 * (k / SAMPLE_STRIDE)) / 2 + 4;
  return rank < samples ? kthLargest(sorted, samples, rank) : -Infinity;
}

/** Packs the values above `floor` that are at least `bound`, and their tokens; returns how many there are. */
function packAbove(
  column: usize,
  alpha: usize,
  tokens: i32,
  floor: f64,
  bound: f64,
  value: usize,
  packed: usize,
): i32 {
  const floors = f64x2.splat(floor);
  const bounds = f64x2.splat(bound);
  let count: usize = 0;
  let t = 0;
  for (; t + 8 <= tokens; t += 8) {
    const at = (<usize>t) << 3;
    const s0 = f64x2.sub(v128.load(alpha + at), v128.load(column + at));
    const s1 = f64x2.sub(v128.load(alpha + at, 16), v128.load(column + at, 16));
    const s2 = f64x2.sub(v128.load(alpha + at, 32), v128.load(column + at, 32));
    const s3 = f64x2.sub(v128.load(alpha + at, 48), v128.load(column + at, 48));
    const m0 = v128.and(f64x2.gt(s0, floors), f64x2.ge(s0, bounds));
    const m1 = v128.and(f64x2.gt(s1, floors), f64x2.ge(s1, bounds));
    const m2 = v128.and(f64x2.gt(s2, floors), f64x2.ge(s2, bounds));
    const m3 = v128.and(f64x2.gt(s3, floors), f64x2.ge(s3, bounds));
    if (!v128.any_true(v128.or(v128.or(m0, m1), v128.or(m2, m3)))) continue;
    let bits = i64x2.bitmask(m0) | (i64x2.bitmask(m1) << 2) | (i64x2.bitmask(m2) << 4) | (i64x2.bitmask(m3) << 6);
    for (; bits != 0; bits &= bits - 1) {
      const lane = ctz(bits);
      const entry = at + ((<usize>lane) << 3);
      store<f64>(value + (count << 3), load<f64>(alpha + entry) - load<f64>(column + entry));
      store<i32>(packed + (count << 2), t + lane);
      count++;
    }
  }
  for (; t < tokens; t++) {
    const at = (<usize>t) << 3;
    const s = load<f64>(alpha + at) - load<f64>(column + at);
    if (!(s > floor && s >= bound)) continue;
    store<f64>(value + (count << 3), s);
    store<i32>(packed + (count << 2), t);
    count++;
  }
  return <i32>count;
}

/** Keeps the k largest of `count` > k packed values, of which `threshold` is the k-th, ties to the first. */
function keepLargest(value: usize, packed: usize, count: i32, k: i32, threshold: f64): i32 {
  let ties = k;
  for (let i: usize = 0; i < <usize>count; i++) ties -= <i32>(load<f64>(value + (i << 3)) > threshold);
  let kept: usize = 0;
  for (let i: usize = 0; i < <usize>count; i++) {
    const own = load<f64>(value + (i << 3));
    if (own < threshold) continue;
    if (own == threshold && ties-- <= 0) continue;
    store<f64>(value + (kept << 3), own);
    store<i32>(packed + (kept << 2), load<i32>(packed + (i << 2)));
    kept++;
  }
  return <i32>kept;
}

/** The k-th largest of `count` values, which are reordered. Hoare's quickselect. */
function kthLargest(values: usize, count: i32, k: i32): f64 {
  const target = values + ((<usize>(k - 1)) << 3);
  let low = values;
  let high = values + ((<usize>(count - 1)) << 3);
  while (low < high) {
    const a = load<f64>(low);
    const b = load<f64>(low + (((high - low) >> 4) << 3));
    const c = load<f64>(high);
    const pivot = max(min(a, b), min(max(a, b), c));
    let left = low;
    let right = high;
    while (left <= right) {
      while (load<f64>(left) > pivot) left += 8;
      while (load<f64>(right) < pivot) right -= 8;
      if (left <= right) {
        const swapped = load<f64>(left);
        store<f64>(left, load<f64>(right));
        store<f64>(right, swapped);
        left += 8;
        right -= 8;
      }
    }
    if (target <= right) high = right;
    else if (target >= left) low = left;
    else break;
  }
  return load<f64>(target);
}

/** τ with Σ max(0, value − τ) = mass, by Michelot's algorithm; `values` are reordered. */
function simplexThreshold(values: usize, count: i32, mass: f64): f64 {
  let active = count;
  let kept = count;
  let threshold: f64;
  do {
    active = kept;
    let sum: f64 = 0;
    for (let i: usize = 0; i < <usize>active; i++) sum += load<f64>(values + (i << 3));
    threshold = (sum - mass) / <f64>active;
    kept = 0;
    for (let i: usize = 0; i < <usize>active; i++) {
      const own = load<f64>(values + (i << 3));
      if (own <= threshold) continue;
      store<f64>(values + ((<usize>kept) << 3), own);
      kept++;
    }
  } while (kept < active && kept > 0);
  return threshold;
}

/** Tokens whose costs are written together: a cache line of each column. */
// @ts-ignore: decorator
@inline
const LINE: i32 = 8;

/** Writes rowCost − affinity of up to {@link LINE} tokens to the columns. */
function lineCosts(affinity: usize, first: usize, count: usize, tokens: i32, experts: i32, cost: usize, row: usize): void {
  const width = (<usize>experts) << 2;
  const height = (<usize>tokens) << 3;
  const from = affinity + first * width;
  let to = cost + (first << 3);
  let e: usize = 0;
  if (count == LINE) {
    for (; e + 4 <= <usize>experts; e += 4) {
      for (let t: usize = 0; t < <usize>LINE; t += 4) {
        const own = from + t * width + (e << 2);
        const r0 = v128.load(own);
        const r1 = v128.load(own + width);
        const r2 = v128.load(own + 2 * width);
        const r3 = v128.load(own + 3 * width);
        const a = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5);
        const b = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5);
        const c = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7);
        const d = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
        const low = v128.load(row + (t << 3));
        const high = v128.load(row + (t << 3), 16);
        const at = to + (t << 3);
        storeCosts(at, low, high, v128.shuffle<i64>(a, b, 0, 2));
        storeCosts(at + height, low, high, v128.shuffle<i64>(a, b, 1, 3));
        storeCosts(at + 2 * height, low, high, v128.shuffle<i64>(c, d, 0, 2));
        storeCosts(at + 3 * height, low, high, v128.shuffle<i64>(c, d, 1, 3));
      }
      to += 4 * height;
    }
  }
  for (; e < <usize>experts; e++) {
    for (let t: usize = 0; t < count; t++) {
      const own = <f64>load<f32>(from + t * width + (e << 2));
      store<f64>(to + (t << 3), load<f64>(row + (t << 3)) - own);
    }
    to += height;
  }
}

// @ts-ignore: decorator
@inline
function storeCosts(at: usize, low: v128, high: v128, affinity: v128): void {
  v128.store(at, f64x2.sub(low, promoteLow(affinity)));
  v128.store(at, f64x2.sub(high, promoteHigh(affinity)), 16);
}

/** See `Kernels.columnCosts`. */
export function columnCosts(affinity: usize, tokens: i32, experts: i32, cost: usize, largest: usize): void {
  const width = (<usize>experts) << 2;
  for (let t: usize = 0; t < <usize>tokens; t++) {
    store<f64>(largest + (t << 3), <f64>largestOf(affinity + t * width, experts));
  }
  for (let first: usize = 0; first < <usize>tokens; first += LINE) {
    const count = min<usize>(LINE, <usize>tokens - first);
    lineCosts(affinity, first, count, tokens, experts, cost, largest + (first << 3));
  }
}

/** Bytes of scratch that {@link rowThresholds} needs. */
export function rowThresholdsScratch(experts: i32): usize {
  return ((<usize>experts) << 3) + 24;
}

/** See `Kernels.rowThresholds`: Michelot's algorithm, of which a row's first step needs no copy of it. */
export function rowThresholds(
  affinity: usize,
  shift: usize,
  mass: f64,
  tokens: i32,
  experts: i32,
  threshold: usize,
  scratch: usize,
): void {
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const row = affinity + ((t * experts) << 2);
    const added = load<f64>(shift + (t << 3));
    const lanes = f64x2.splat(added);
    let low = f64x2.splat(0);
    let high = f64x2.splat(0);
    let e = 0;
    for (; e + 4 <= experts; e += 4) {
      const four = v128.load(row + ((<usize>e) << 2));
      low = f64x2.add(low, f64x2.add(promoteLow(four), lanes));
      high = f64x2.add(high, f64x2.add(promoteHigh(four), lanes));
    }
    let sum = sumLanes64(f64x2.add(low, high));
    for (; e < experts; e++) sum += <f64>load<f32>(row + ((<usize>e) << 2)) + added;
    let bound = (sum - mass) / <f64>experts;
    let kept: usize = 0;
    for (let i: usize = 0; i < <usize>experts; i++) {
      const own = <f64>load<f32>(row + (i << 2)) + added;
      store<f64>(scratch + (kept << 3), own);
      kept += <usize>(own > bound);
    }
    for (let active: usize = <usize>experts; kept < active && kept > 0; ) {
      active = kept;
      let even: f64 = 0;
      let odd: f64 = 0;
      store<f64>(scratch + (active << 3), 0);
      for (let i: usize = 0; i < active; i += 2) {
        even += load<f64>(scratch + (i << 3));
        odd += load<f64>(scratch + (i << 3), 8);
      }
      bound = (even + odd - mass) / <f64>active;
      kept = 0;
      for (let i: usize = 0; i < active; i++) {
        const own = load<f64>(scratch + (i << 3));
        store<f64>(scratch + (kept << 3), own);
        kept += <usize>(own > bound);
      }
    }
    store<f64>(threshold + (t << 3), bound);
  }
}
