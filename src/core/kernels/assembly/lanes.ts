// Reading, writing and reducing vectors of four float32 lanes at byte addresses that need no alignment.

/**
 * A constant in all four lanes, from the float32 at `at`. V8 takes a vector constant apart into scalar moves at each of
 * its uses, so that polynomials run twice as fast with coefficients from memory.
 */
// @ts-ignore: decorator
@inline
export function everyLane(at: usize): v128 {
  return v128.load32_splat(at);
}

/** The same of a float64, in both lanes. */
// @ts-ignore: decorator
@inline
export function everyLane64(at: usize): v128 {
  return v128.load64_splat(at);
}

/** The first `count` < 4 floats at `from`, the other lanes `fill`: never reads past the end of a row. */
export function loadPartial(from: usize, count: i32, fill: f32): v128 {
  let lanes = f32x4.splat(fill);
  if (count > 0) lanes = f32x4.replace_lane(lanes, 0, load<f32>(from));
  if (count > 1) lanes = f32x4.replace_lane(lanes, 1, load<f32>(from, 4));
  if (count > 2) lanes = f32x4.replace_lane(lanes, 2, load<f32>(from, 8));
  return lanes;
}

/** Writes the first `count` < 4 lanes to `to`. */
// @ts-ignore: decorator
@inline
export function storePartial(to: usize, lanes: v128, count: i32): void {
  if (count > 0) store<f32>(to, f32x4.extract_lane(lanes, 0));
  if (count > 1) store<f32>(to, f32x4.extract_lane(lanes, 1), 4);
  if (count > 2) store<f32>(to, f32x4.extract_lane(lanes, 2), 8);
}

// @ts-ignore: decorator
@inline
export function sumLanes(lanes: v128): f32 {
  return (
    f32x4.extract_lane(lanes, 0) +
    f32x4.extract_lane(lanes, 1) +
    (f32x4.extract_lane(lanes, 2) + f32x4.extract_lane(lanes, 3))
  );
}

// @ts-ignore: decorator
@inline
export function sumLanes64(lanes: v128): f64 {
  return f64x2.extract_lane(lanes, 0) + f64x2.extract_lane(lanes, 1);
}

// By shuffles: a scalar max is two branches in V8, which the data of a row decide and no predictor foresees.

// @ts-ignore: decorator
@inline
function maxLanes(lanes: v128): f32 {
  const pairs = f32x4.pmax(lanes, v128.shuffle<i32>(lanes, lanes, 2, 3, 0, 1));
  return f32x4.extract_lane(f32x4.pmax(pairs, v128.shuffle<i32>(pairs, pairs, 1, 0, 3, 2)), 0);
}

// @ts-ignore: decorator
@inline
export function minLanes(lanes: v128): f32 {
  const pairs = f32x4.pmin(lanes, v128.shuffle<i32>(lanes, lanes, 2, 3, 0, 1));
  return f32x4.extract_lane(f32x4.pmin(pairs, v128.shuffle<i32>(pairs, pairs, 1, 0, 3, 2)), 0);
}

/** Lanes 0 and 1 as float64. */
// @ts-ignore: decorator
@inline
export function promoteLow(lanes: v128): v128 {
  return f64x2.promote_low_f32x4(lanes);
}

/** Lanes 2 and 3 as float64. */
// @ts-ignore: decorator
@inline
export function promoteHigh(lanes: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<i64>(lanes, lanes, 1, 1));
}

/** The largest of `count` ≥ 1 floats. */
export function largestOf(from: usize, count: i32): f32 {
  let first = f32x4.splat(-Infinity);
  let second = first;
  let third = first;
  let fourth = first;
  let i = 0;
  for (; i + 16 <= count; i += 16) {
    const at = from + ((<usize>i) << 2);
    first = f32x4.pmax(first, v128.load(at));
    second = f32x4.pmax(second, v128.load(at, 16));
    third = f32x4.pmax(third, v128.load(at, 32));
    fourth = f32x4.pmax(fourth, v128.load(at, 48));
  }
  for (; i + 4 <= count; i += 4) first = f32x4.pmax(first, v128.load(from + ((<usize>i) << 2)));
  let largest = maxLanes(f32x4.pmax(f32x4.pmax(first, second), f32x4.pmax(third, fourth)));
  for (; i < count; i++) largest = max(largest, load<f32>(from + ((<usize>i) << 2)));
  return largest;
}

/** The smallest of `count` ≥ 1 floats. */
export function smallestOf(from: usize, count: i32): f32 {
  let lanes = f32x4.splat(Infinity);
  let i = 0;
  for (; i + 4 <= count; i += 4) lanes = f32x4.pmin(lanes, v128.load(from + ((<usize>i) << 2)));
  let smallest = minLanes(lanes);
  for (; i < count; i++) smallest = min(smallest, load<f32>(from + ((<usize>i) << 2)));
  return smallest;
}

/** The largest size of `count` ≥ 1 floats. */
export function largestMagnitude(from: usize, count: i32): f32 {
  return max(abs(largestOf(from, count)), abs(smallestOf(from, count)));
}
