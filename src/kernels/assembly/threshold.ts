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

/** Appends the indices of the bits of `mask`, counted from `start`. */
// @ts-ignore: decorator
@inline
function appendBits(mask: u64, start: i32, to: usize): usize {
  while (mask != 0) {
    store<i32>(to, start + <i32>ctz(mask));
    to += 4;
    mask &= mask - 1;
  }
  return to;
}

/** Writes the indices of the keys that are not below `cutoff` to `to`, in ascending order, and returns how many. */
export function indicesFrom(keys: usize, length: i32, cutoff: f32, to: usize): i32 {
  const lanes = f32x4.splat(cutoff);
  let end = to;
  let i = 0;
  // 64 keys a mask: one loop over its bits is mispredicted once, sixteen short ones would be sixteen times.
  for (; i + 64 <= length; i += 64) {
    const at = keys + ((<usize>i) << 2);
    const mask =
      maskOf16(at, lanes) |
      (maskOf16(at + 64, lanes) << 16) |
      (maskOf16(at + 128, lanes) << 32) |
      (maskOf16(at + 192, lanes) << 48);
    end = appendBits(mask, i, end);
  }
  for (; i + 4 <= length; i += 4) {
    const at = keys + ((<usize>i) << 2);
    end = appendBits(<u64>i32x4.bitmask(f32x4.ge(v128.load(at), lanes)), i, end);
  }
  for (; i < length; i++) {
    if (load<f32>(keys + ((<usize>i) << 2)) >= cutoff) {
      store<i32>(end, i);
      end += 4;
    }
  }
  return <i32>((end - to) >> 2);
}
