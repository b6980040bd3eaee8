import { minLanes } from "./lanes";

/** The largest number of one segment's keys that {@link lowerBound} can vouch for: four lanes, four deep. */
// @ts-ignore: decorator
@inline
const SEGMENT: i32 = 16;

/**
 * The smallest over the lanes of each lane's `depth`-th largest of `vectors` vectors; `depth` in [1, 4], a constant.
 */
// @ts-ignore: decorator
@inline
function laneBound(from: usize, vectors: i32, depth: i32): f32 {
  let first = f32x4.splat(-Infinity);
  let second = first;
  let third = first;
  let fourth = first;
  const end = from + ((<usize>vectors) << 4);
  let at = from;
  // Two vectors at a time: sorted against each other they enter the sorted list of every lane, the larger one first.
  for (; at + 32 <= end; at += 32) {
    const a = v128.load(at);
    const b = v128.load(at, 16);
    if (depth == 1) {
      first = f32x4.pmax(first, f32x4.pmax(a, b));
    } else {
      let larger = f32x4.pmax(a, b);
      let smaller = f32x4.pmin(a, b);
      let passed = f32x4.pmin(larger, first);
      first = f32x4.pmax(first, larger);
      larger = f32x4.pmax(passed, smaller);
      smaller = f32x4.pmin(passed, smaller);
      passed = f32x4.pmin(larger, second);
      second = f32x4.pmax(second, larger);
      if (depth > 2) {
        larger = f32x4.pmax(passed, smaller);
        smaller = f32x4.pmin(passed, smaller);
        passed = f32x4.pmin(larger, third);
        third = f32x4.pmax(third, larger);
        if (depth > 3) fourth = f32x4.pmax(fourth, f32x4.pmax(passed, smaller));
      }
    }
  }
  for (; at < end; at += 16) {
    let moving = v128.load(at);
    let passed = f32x4.pmin(moving, first);
    first = f32x4.pmax(first, moving);
    if (depth > 1) {
      moving = passed;
      passed = f32x4.pmin(moving, second);
      second = f32x4.pmax(second, moving);
    }
    if (depth > 2) {
      moving = passed;
      passed = f32x4.pmin(moving, third);
      third = f32x4.pmax(third, moving);
    }
    if (depth > 3) fourth = f32x4.pmax(fourth, passed);
  }
  return minLanes(depth == 1 ? first : depth == 2 ? second : depth == 3 ? third : fourth);
}

function segmentBound(from: usize, vectors: i32, count: i32): f32 {
  if (count <= 4) return laneBound(from, vectors, 1);
  if (count <= 8) return laneBound(from, vectors, 2);
  if (count <= 12) return laneBound(from, vectors, 3);
  return laneBound(from, vectors, 4);
}

/**
 * A lower bound for the `count`-th largest of `length` float32 keys, −∞ where it knows none. At least `count` keys are
 * not below it, and for keys in no particular order about twice as many: each of four interleaved lanes vouches for a
 * quarter of `count`, each of several segments for up to sixteen.
 */
export function lowerBound(keys: usize, length: i32, count: i32): f32 {
  const segments = (count + SEGMENT - 1) / SEGMENT;
  const each = (count + segments - 1) / segments;
  const vectors = (length >> 2) / segments;
  let bound: f32 = Infinity;
  for (let segment = 0; segment < segments; segment++) {
    bound = min(bound, segmentBound(keys + ((<usize>(segment * vectors)) << 4), vectors, each));
  }
  return bound;
}

/** Which of the 16 keys at `at` are not below `cutoff`, a bit each. */
// @ts-ignore: decorator
@inline
function maskOf16(at: usize, cutoff: v128): u64 {
  const first = i16x8.narrow_i32x4_s(f32x4.ge(v128.load(at), cutoff), f32x4.ge(v128.load(at, 16), cutoff));
  const second = i16x8.narrow_i32x4_s(f32x4.ge(v128.load(at, 32), cutoff), f32x4.ge(v128.load(at, 48), cutoff));
  return <u64>i8x16.bitmask(i8x16.narrow_i16x8_s(first, second));
}

/** Bytes that {@link indicesFrom} may write behind the last index. */
export const SPARE_BYTES: usize = 32;

/** Writes the index of the lowest bit of `mask`, counted from `start`, and returns the other bits. */
// @ts-ignore: decorator
@inline
function storeLowest(mask: u64, start: i32, to: usize): u64 {
  store<i32>(to, start + <i32>ctz(mask));
  return mask & (mask - 1);
}

/**
 * Appends the indices of the bits of `mask`, counted from `start`: eight at a time whether there are as many or not, since
 * how many there are is up to chance, and a loop over them would be mispredicted nearly every time.
 */
// @ts-ignore: decorator
@inline
function appendBits(mask: u64, start: i32, to: usize): usize {
  const end = to + (<usize>popcnt(mask) << 2);
  do {
    mask = storeLowest(mask, start, to);
    mask = storeLowest(mask, start, to + 4);
    mask = storeLowest(mask, start, to + 8);
    mask = storeLowest(mask, start, to + 12);
    mask = storeLowest(mask, start, to + 16);
    mask = storeLowest(mask, start, to + 20);
    mask = storeLowest(mask, start, to + 24);
    mask = storeLowest(mask, start, to + 28);
    to += SPARE_BYTES;
  } while (mask != 0);
  return end;
}

/**
 * Writes the indices of the keys that are not below `cutoff` to `to`, in ascending order, and returns how many. What it
 * may write behind them is no index.
 */
export function indicesFrom(keys: usize, length: i32, cutoff: f32, to: usize): i32 {
  const lanes = f32x4.splat(cutoff);
  let end = to;
  let i = 0;
  for (; i + 64 <= length; i += 64) {
    const at = keys + ((<usize>i) << 2);
    const mask =
      maskOf16(at, lanes) |
      (maskOf16(at + 64, lanes) << 16) |
      (maskOf16(at + 128, lanes) << 32) |
      (maskOf16(at + 192, lanes) << 48);
    end = appendBits(mask, i, end);
  }
  if (i < length) end = appendBits(maskOfRest(keys, i, length, cutoff), i, end);
  return <i32>((end - to) >> 2);
}

/** Which of the fewer than 64 keys [start, length) are not below `cutoff`, a bit each. */
// @ts-ignore: decorator
@inline
function maskOfRest(keys: usize, start: i32, length: i32, cutoff: f32): u64 {
  const lanes = f32x4.splat(cutoff);
  let mask: u64 = 0;
  let i = start;
  for (; i + 4 <= length; i += 4) {
    const bits = <u64>i32x4.bitmask(f32x4.ge(v128.load(keys + ((<usize>i) << 2)), lanes));
    mask |= bits << (<u64>(i - start));
  }
  for (; i < length; i++) mask |= <u64>(load<f32>(keys + ((<usize>i) << 2)) >= cutoff) << (<u64>(i - start));
  return mask;
}
