import { groupBound, groupScratch, lastOfLargest, packAbove } from "./priced-row";

// One row at a time while it is in cache. Of its E values those count that are above τ − width/2, with small widths
// little more than topK, so they are packed first and solved for then. The packing needs a bound before τ is known:
//
// - A guess of τ less ¾ width. Of a part of the values, Σ x is at most that of all, and so is its root. Where that root
//   is so low that values below the bound could count, it gives the bound of a second packing that is sure to suffice.
// - Where fewer than topK values reach it: topK values reach g of `groupBound`, hence τ ≥ g − width/2, and what counts
//   is above g − width.
//
// No bound need be below floor − width/2.

/** Bytes of scratch that {@link relaxedTopK} needs: the packed values and a vector to pad them, experts, groups. */
export function relaxedTopKScratch(experts: i32, topK: i32): usize {
  return 12 * <usize>experts + 24 + groupScratch(topK);
}

/** See `Kernels.relaxedTopK`; `curvature` is 0 for none. */
export function relaxedTopK(
  scores: usize,
  price: usize,
  width: f64,
  floor: f64,
  tokens: i32,
  experts: i32,
  topK: i32,
  threshold: usize,
  mass: usize,
  curvature: usize,
  scratch: usize,
): f64 {
  const value = scratch;
  const expert = value + (<usize>experts << 3) + 16;
  const groups = expert + (((<usize>experts + 1) & ~1) << 2);
  const least = floor - 0.5 * width;
  let total: f64 = 0;
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const row = scores + ((t * experts) << 3);
    const guess = load<f64>(threshold + (t << 3));
    let count = 0;
    let bound: f64 = Infinity;
    // NaN, no guess, leaves the count at 0.
    if (guess == guess) {
      bound = max(least, guess - 0.75 * width);
      count = packAbove(row, price, experts, bound, value, expert);
    }
    if (count < topK && bound > least) {
      bound = max(least, groupBound(row, price, experts, topK, groups) - width);
      count = packAbove(row, price, experts, bound, value, expert);
    }
    if (width == 0) {
      const last = count < topK ? floor : max(floor, lastOfLargest(value, count, topK, groups));
      store<f64>(threshold + (t << 3), last);
      total += takeLargest(value, expert, count, topK, last, floor, mass);
      continue;
    }
    let root = rootOf(value, count, topK, width, floor, guess);
    if (bound > least && root - 0.5 * width < bound) {
      count = packAbove(row, price, experts, max(least, root - 0.5 * width), value, expert);
      root = rootOf(value, count, topK, width, floor, root);
    }
    store<f64>(threshold + (t << 3), root);
    total += <f64>topK * root + takeRelaxed(value, expert, count, width, root, mass);
    if (curvature != 0) addCurvature(value, expert, count, width, root, root == floor, experts, curvature);
  }
  return total;
}

/**
 * The larger of `floor` and a root of Σ clip((v − τ)/width + ½, 0, 1) = topK over `count` values, which has one unless
 * count < topK: Newton's method on this piecewise linear function, between brackets that are halved where it strays.
 * The values have room for one more.
 */
function rootOf(value: usize, count: i32, topK: i32, width: f64, floor: f64, guess: f64): f64 {
  if (count < topK) return floor;
  const half = 0.5 * width;
  const end = (<usize>count) << 3;
  let smallest: f64 = Infinity;
  let largest: f64 = -Infinity;
  for (let at: usize = 0; at < end; at += 8) {
    const v = load<f64>(value + at);
    smallest = min(smallest, v);
    largest = max(largest, v);
  }
  if (count == topK) return max(floor, smallest - half);
  store<f64>(value + end, -Infinity);
  let low = max(floor, smallest - half);
  let high = largest + half;
  if (high <= low) return low;
  let root = guess == guess ? min(max(guess, low), high) : 0.5 * (low + high);
  let below: i64 = -1;
  let inside: i64 = -1;
  for (let iteration = 0; iteration < 200; iteration++) {
    const top = f64x2.splat(root + half);
    const bottom = f64x2.splat(root - half);
    let full = i64x2.splat(0);
    let positive = full;
    let sums = f64x2.splat(0);
    for (let at: usize = 0; at < end; at += 16) {
      const v = v128.load(value + at);
      const isFull = f64x2.ge(v, top);
      const isPositive = f64x2.gt(v, bottom);
      full = i64x2.sub(full, isFull);
      positive = i64x2.sub(positive, isPositive);
      sums = f64x2.add(sums, v128.and(v, v128.andnot(isPositive, isFull)));
    }
    const ones = i64x2.extract_lane(full, 0) + i64x2.extract_lane(full, 1);
    const between = i64x2.extract_lane(positive, 0) + i64x2.extract_lane(positive, 1) - ones;
    // The step before solved for the very values that are strictly between 0 and 1 here.
    if (ones == below && between == inside) return root;
    const sum = f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1);
    const excess = (<f64>(ones - topK) + 0.5 * <f64>between) * width + (sum - <f64>between * root);
    if (excess == 0 || (root == floor && excess < 0)) return root;
    if (excess > 0) low = root;
    else high = root;
    let next = between > 0 ? root + excess / <f64>between : NaN;
    below = ones;
    inside = between;
    // Every other step halves once there have been many, for the function is neither convex nor concave.
    if (!(next > low && next < high) || (iteration > 8 && (iteration & 1) == 1)) {
      next = next <= floor && low == floor ? floor : 0.5 * (low + high);
      below = -1;
      if (next == root || (next != floor && (next <= low || next >= high))) return root;
    }
    root = next;
  }
  return root;
}

/**
 * Adds x to the masses; returns Σ (v − τ)·x + (width/2)·x(1 − x), which is the maximum less topK·τ. Their sum is least at
 * τ, so that unlike the maximum by its definition it hardly feels τ's rounding.
 */
function takeRelaxed(value: usize, expert: usize, count: i32, width: f64, root: f64, mass: usize): f64 {
  const inverse = 1 / width;
  let total: f64 = 0;
  for (let i: usize = 0; i < <usize>count; i++) {
    const excess = load<f64>(value + (i << 3)) - root;
    const x = min(max(excess * inverse + 0.5, 0), 1);
    const to = mass + ((<usize>load<i32>(expert + (i << 2))) << 3);
    store<f64>(to, load<f64>(to) + x);
    total += x * (excess + 0.5 * width * (1 - x));
  }
  return total;
}

/** Adds 1 to the masses of the `topK` largest values above `floor`, of which `last` is the last; returns their sum. */
function takeLargest(
  value: usize,
  expert: usize,
  count: i32,
  topK: i32,
  last: f64,
  floor: f64,
  mass: usize,
): f64 {
  let ties = topK;
  for (let i: usize = 0; i < <usize>count; i++) if (load<f64>(value + (i << 3)) > last) ties--;
  let total: f64 = 0;
  for (let i: usize = 0; i < <usize>count; i++) {
    const v = load<f64>(value + (i << 3));
    if (v < last || v <= floor || (v == last && ties-- <= 0)) continue;
    const to = mass + ((<usize>load<i32>(expert + (i << 2))) << 3);
    store<f64>(to, load<f64>(to) + 1);
    total += v;
  }
  return total;
}

/** Adds (I − 11ᵀ/m)/width on the m experts strictly between 0 and 1, I/width at the floor. Packs them at `expert`. */
function addCurvature(
  value: usize,
  expert: usize,
  count: i32,
  width: f64,
  root: f64,
  atFloor: bool,
  experts: i32,
  curvature: usize,
): void {
  const inverse = 1 / width;
  let between: usize = 0;
  for (let i: usize = 0; i < <usize>count; i++) {
    const x = (load<f64>(value + (i << 3)) - root) * inverse + 0.5;
    if (x <= 0 || x >= 1) continue;
    store<i32>(expert + (between << 2), load<i32>(expert + (i << 2)));
    between++;
  }
  const common = inverse / <f64>between;
  for (let i: usize = 0; i < between; i++) {
    const e = <usize>load<i32>(expert + (i << 2));
    const row = curvature + ((e * experts) << 3);
    store<f64>(row + (e << 3), load<f64>(row + (e << 3)) + inverse);
    if (atFloor) continue;
    for (let j: usize = 0; j < between; j++) {
      const at = row + ((<usize>load<i32>(expert + (j << 2))) << 3);
      store<f64>(at, load<f64>(at) - common);
    }
  }
}
