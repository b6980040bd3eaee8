import {
  biasesOf,
  candidatesOf,
  enabledCandidates,
  exactKeysOf,
  isDisabled,
  keysOf,
  orderByHeap,
  orderCandidates,
  orderFirst,
  orderOf,
  padded,
  selectScratch,
  settle,
  takeFirst,
} from "./candidates";
import { cutoffBelow, keyError, roundBiases, rowKeys, writeExactKeys } from "./keys";
import { LOGITS } from "./kinds";
import { largestMagnitude, smallestOf } from "./lanes";
import { indicesFrom, lowerBound } from "./threshold";

// The kept groups first, then a selection as in `select.ts` among their experts. A group's score is the sum of its two
// largest keys or the largest alone, each within δ of the true one (see `keys.ts`), rounded once. No key is larger than W =
// S_max + B, so all scores are within 2·δ(W) + 2^−23·W of the true ones. Only which groups are kept matters, so one gap
// decides: the one between the last that is kept and the first that is not. Where it is too small, all scores are computed
// again from float64 keys. With a quota, and for tokens with disabled experts, whose affinities of 0 must not enter a
// group's score, the experts are taken in the order of float64 keys.

// The scratch beyond that of a selection: the score and the smaller of the two keys of each group, the kept groups, and
// their keys side by side.

/** Bytes of scratch that {@link selectGroupedTopK} needs. */
export function groupedScratch(experts: i32): usize {
  return selectScratch(experts) + 16 * padded(experts);
}

// @ts-ignore: decorator
@inline
function scoresOf(scratch: usize, experts: i32): usize {
  return scratch + selectScratch(experts);
}

// @ts-ignore: decorator
@inline
function secondsOf(scratch: usize, experts: i32): usize {
  return scratch + selectScratch(experts) + 4 * padded(experts);
}

// @ts-ignore: decorator
@inline
function keptOf(scratch: usize, experts: i32): usize {
  return scratch + selectScratch(experts) + 8 * padded(experts);
}

// @ts-ignore: decorator
@inline
function keptKeysOf(scratch: usize, experts: i32): usize {
  return scratch + selectScratch(experts) + 12 * padded(experts);
}

/** Writes the scores, of one key or two, and the smallest key that each is made of. */
function scoreGroups(
  keys: usize,
  groups: i32,
  groupSize: i32,
  onlyLargest: bool,
  scores: usize,
  seconds: usize,
): void {
  let from = keys;
  for (let group: usize = 0; group < <usize>groups; group++) {
    let firsts = f32x4.splat(-Infinity);
    let others = firsts;
    let e = 0;
    for (; e + 4 <= groupSize; e += 4, from += 16) {
      const lanes = v128.load(from);
      others = f32x4.pmax(others, f32x4.pmin(firsts, lanes));
      firsts = f32x4.pmax(firsts, lanes);
    }
    // Each fold halves the lanes: the two largest of two sorted pairs.
    let folded = v128.shuffle<i64>(firsts, firsts, 1, 0);
    others = f32x4.pmax(f32x4.pmin(firsts, folded), f32x4.pmax(others, v128.shuffle<i64>(others, others, 1, 0)));
    firsts = f32x4.pmax(firsts, folded);
    folded = v128.shuffle<i32>(firsts, firsts, 1, 0, 3, 2);
    others = f32x4.pmax(f32x4.pmin(firsts, folded), f32x4.pmax(others, v128.shuffle<i32>(others, others, 1, 0, 3, 2)));
    firsts = f32x4.pmax(firsts, folded);
    let first = f32x4.extract_lane(firsts, 0);
    let second = f32x4.extract_lane(others, 0);
    for (; e < groupSize; e++, from += 4) {
      const key = load<f32>(from);
      second = max(second, min(first, key));
      first = max(first, key);
    }
    store<f32>(scores + (group << 2), onlyLargest ? first : first + second);
    store<f32>(seconds + (group << 2), onlyLargest ? first : second);
  }
}

/**
 * The float64 score of a group, of whose experts the `size` listed at `candidates` have float64 keys: of one expert its key
 * alone, of none −∞.
 */
function exactScore(candidates: usize, size: i32, onlyLargest: bool, exactKeys: usize): f64 {
  let first: f64 = -Infinity;
  let second: f64 = -Infinity;
  for (let i: usize = 0; i < <usize>size; i++) {
    const key = load<f64>(exactKeys + ((<usize>load<i32>(candidates + (i << 2))) << 3));
    second = max(second, min(first, key));
    first = max(first, key);
  }
  return onlyLargest || size < 2 ? first : first + second;
}

/** Appends the experts of the group whose key is not below `cutoff` to `to`; returns how many. */
function groupCandidates(keys: usize, group: i32, groupSize: i32, cutoff: f32, to: usize): i32 {
  const start = group * groupSize;
  const size = indicesFrom(keys + ((<usize>start) << 2), groupSize, cutoff, to);
  for (let i: usize = 0; i < <usize>size; i++) store<i32>(to + (i << 2), load<i32>(to + (i << 2)) + start);
  return size;
}

/** Writes 0, 1, … `count` − 1. */
function listAll(to: usize, count: i32): void {
  for (let i = 0; i < count; i++) store<i32>(to + ((<usize>i) << 2), i);
}

/** Orders the groups by float64 scores, as {@link orderGroups} does. */
function settleGroups(
  scratch: usize,
  row: usize,
  kind: i32,
  bias: usize,
  experts: i32,
  groups: i32,
  topGroups: i32,
  onlyLargest: bool,
  most: f32,
  largestBias: f32,
): void {
  const keys = keysOf(scratch, experts);
  const candidates = candidatesOf(scratch, experts);
  const exactKeys = exactKeysOf(scratch);
  const seconds = secondsOf(scratch, experts);
  const sizes = keptOf(scratch, experts);
  const groupSize = experts / groups;
  let end = candidates;
  for (let group = 0; group < groups; group++) {
    const at = (<usize>group) << 2;
    const cutoff = cutoffBelow(load<f32>(seconds + at), most, largestBias);
    const size = groupCandidates(keys, group, groupSize, cutoff, end);
    store<i32>(sizes + at, size);
    end += (<usize>size) << 2;
  }
  writeExactKeys(row, kind, bias, experts, candidates, <i32>((end - candidates) >> 2), exactKeys);
  orderByExactScore(scratch, experts, groups, topGroups, onlyLargest, sizes);
}

/**
 * Brings the `topGroups` first groups into the order. The candidates, group by group as many as `sizes` says, have float64
 * keys; both are used up.
 */
function orderByExactScore(
  scratch: usize,
  experts: i32,
  groups: i32,
  topGroups: i32,
  onlyLargest: bool,
  sizes: usize,
): void {
  const candidates = candidatesOf(scratch, experts);
  const exactKeys = exactKeysOf(scratch);
  // A group has no number above those of its experts, so that its score may take the place of a key already used.
  let from = candidates;
  for (let group: usize = 0; group < <usize>groups; group++) {
    const size = load<i32>(sizes + (group << 2));
    store<f64>(exactKeys + (group << 3), exactScore(from, size, onlyLargest, exactKeys));
    from += (<usize>size) << 2;
  }
  listAll(candidates, groups);
  orderByHeap(scratch, experts, groups, topGroups);
}

/** Brings the true `topGroups` first groups, in any order, into `orderOf(scratch, experts)`. */
function orderGroups(
  scratch: usize,
  row: usize,
  kind: i32,
  bias: usize,
  experts: i32,
  groups: i32,
  topGroups: i32,
  onlyLargest: bool,
  most: f32,
  largestBias: f32,
): void {
  const order = orderOf(scratch, experts);
  if (topGroups == groups) {
    listAll(order, groups);
    return;
  }
  const scores = scoresOf(scratch, experts);
  scoreGroups(keysOf(scratch, experts), groups, experts / groups, onlyLargest, scores, secondsOf(scratch, experts));
  listAll(candidatesOf(scratch, experts), groups);
  orderCandidates(scratch, experts, scores, groups, topGroups + 1);
  const last = load<f32>(scores + ((<usize>load<i32>(order + ((<usize>(topGroups - 1)) << 2))) << 2));
  const next = load<f32>(scores + ((<usize>load<i32>(order + ((<usize>topGroups) << 2))) << 2));
  const widest = kind == LOGITS ? largestMagnitude(keysOf(scratch, experts), experts) : most + largestBias;
  const error: f32 = <f32>2 * keyError(widest, most, largestBias) + <f32>1.1920929e-7 * widest;
  if (!(last - next > <f32>2 * error)) {
    settleGroups(scratch, row, kind, bias, experts, groups, topGroups, onlyLargest, most, largestBias);
  }
}

/**
 * Copies the keys of the groups that come first in the order side by side, in the order of the experts, and lists those
 * groups. Without branches: what is not kept is overwritten by the next.
 */
function gatherKept(scratch: usize, experts: i32, groups: i32, topGroups: i32): void {
  const order = orderOf(scratch, experts);
  const isKept = candidatesOf(scratch, experts);
  memory.fill(isKept, 0, (<usize>groups) << 2);
  for (let place: usize = 0; place < <usize>topGroups; place++) {
    store<i32>(isKept + ((<usize>load<i32>(order + (place << 2))) << 2), 1);
  }
  const width = (<usize>(experts / groups)) << 2;
  let from = keysOf(scratch, experts);
  let to = keptKeysOf(scratch, experts);
  let listed = keptOf(scratch, experts);
  for (let group = 0; group < groups; group++, from += width) {
    let at: usize = 0;
    for (; at + 16 <= width; at += 16) v128.store(to + at, v128.load(from + at));
    for (; at < width; at += 4) store<f32>(to + at, load<f32>(from + at));
    store<i32>(listed, group);
    const kept = <usize>load<i32>(isKept + ((<usize>group) << 2));
    to += kept * width;
    listed += kept << 2;
  }
}

/** Turns the `size` places among the kept experts into experts. */
function placesToExperts(scratch: usize, experts: i32, groupSize: i32, size: i32): void {
  const kept = keptOf(scratch, experts);
  const candidates = candidatesOf(scratch, experts);
  for (let i: usize = 0; i < <usize>size; i++) {
    const place = load<i32>(candidates + (i << 2));
    const group = place / groupSize;
    const shift = (load<i32>(kept + ((<usize>group) << 2)) - group) * groupSize;
    store<i32>(candidates + (i << 2), place + shift);
  }
}

/**
 * Takes the first of the `size` candidates in the order of their float64 keys, at most `quota` of a group, and writes −1 to
 * the slots that are left. `taken` is scratch for the groups.
 */
function takeByQuota(
  scratch: usize,
  row: usize,
  kind: i32,
  bias: usize,
  experts: i32,
  groups: i32,
  size: i32,
  quota: i32,
  topK: i32,
  expert: usize,
  loads: usize,
  taken: usize,
): void {
  const groupSize = experts / groups;
  settle(scratch, row, kind, bias, experts, size, size);
  memory.fill(taken, 0, (<usize>groups) << 2);
  const order = orderOf(scratch, experts);
  let slot = 0;
  for (let place = 0; place < size && slot < topK; place++) {
    const chosen = load<i32>(order + ((<usize>place) << 2));
    const ofGroup = taken + ((<usize>(chosen / groupSize)) << 2);
    if (load<i32>(ofGroup) == quota) continue;
    store<i32>(ofGroup, load<i32>(ofGroup) + 1);
    store<i32>(expert + ((<usize>slot) << 2), chosen);
    const at = loads + ((<usize>chosen) << 2);
    store<i32>(at, load<i32>(at) + 1);
    slot += 1;
  }
  for (; slot < topK; slot++) store<i32>(expert + ((<usize>slot) << 2), -1);
}

/** Makes those experts of the first `topGroups` groups in the order candidates that can be among the `quota` of a group. */
function quotaCandidates(
  scratch: usize,
  experts: i32,
  groups: i32,
  topGroups: i32,
  quota: i32,
  most: f32,
  largestBias: f32,
): i32 {
  const groupSize = experts / groups;
  const keys = keysOf(scratch, experts);
  const order = orderOf(scratch, experts);
  const candidates = candidatesOf(scratch, experts);
  let end = candidates;
  for (let place: usize = 0; place < <usize>topGroups; place++) {
    const group = load<i32>(order + (place << 2));
    const bound = lowerBound(keys + ((<usize>(group * groupSize)) << 2), groupSize, quota);
    end += (<usize>groupCandidates(keys, group, groupSize, cutoffBelow(bound, most, largestBias), end)) << 2;
  }
  return <i32>((end - candidates) >> 2);
}

/** Makes the enabled experts of the first groups in the order candidates, the groups by enabled experts alone. */
function enabledOfGroups(
  scratch: usize,
  row: usize,
  kind: i32,
  bias: usize,
  experts: i32,
  groups: i32,
  topGroups: i32,
  onlyLargest: bool,
): i32 {
  const groupSize = experts / groups;
  const candidates = candidatesOf(scratch, experts);
  const sizes = keptOf(scratch, experts);
  const order = orderOf(scratch, experts);
  const size = enabledCandidates(scratch, row, experts);
  memory.fill(sizes, 0, (<usize>groups) << 2);
  for (let i: usize = 0; i < <usize>size; i++) {
    const ofGroup = sizes + ((<usize>(load<i32>(candidates + (i << 2)) / groupSize)) << 2);
    store<i32>(ofGroup, load<i32>(ofGroup) + 1);
  }
  writeExactKeys(row, kind, bias, experts, candidates, size, exactKeysOf(scratch));
  orderByExactScore(scratch, experts, groups, topGroups, onlyLargest, sizes);
  let end = candidates;
  for (let place: usize = 0; place < <usize>topGroups; place++) {
    const start = load<i32>(order + (place << 2)) * groupSize;
    for (let e = start; e < start + groupSize; e++) {
      if (isDisabled(row, e)) continue;
      store<i32>(end, e);
      end += 4;
    }
  }
  return <i32>((end - candidates) >> 2);
}

export function selectGroupedTopK(
  logits: usize,
  kind: i32,
  bias: usize,
  groups: i32,
  topGroups: i32,
  onlyLargest: bool,
  quota: i32,
  tokens: i32,
  experts: i32,
  topK: i32,
  expert: usize,
  loads: usize,
  scratch: usize,
): void {
  const groupSize = experts / groups;
  const keptExperts = topGroups * groupSize;
  const biases = biasesOf(scratch, experts);
  const keptKeys = keptKeysOf(scratch, experts);
  const taken = secondsOf(scratch, experts);
  const largestBias = roundBiases(bias, experts, biases);
  const largestOnly = onlyLargest || groupSize == 1;
  const hasQuota = quota < min(groupSize, topK);
  memory.fill(loads, 0, (<usize>experts) << 2);
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const row = logits + ((t * experts) << 2);
    const chosen = expert + ((t * topK) << 2);
    if (smallestOf(row, experts) == -Infinity) {
      const size = enabledOfGroups(scratch, row, kind, bias, experts, groups, topGroups, largestOnly);
      takeByQuota(scratch, row, kind, bias, experts, groups, size, quota, topK, chosen, loads, taken);
      continue;
    }
    const most = rowKeys(row, kind, biases, experts, keysOf(scratch, experts));
    orderGroups(scratch, row, kind, bias, experts, groups, topGroups, largestOnly, most, largestBias);
    if (hasQuota) {
      const size = quotaCandidates(scratch, experts, groups, topGroups, quota, most, largestBias);
      takeByQuota(scratch, row, kind, bias, experts, groups, size, quota, topK, chosen, loads, taken);
      continue;
    }
    gatherKept(scratch, experts, groups, topGroups);
    const cutoff = cutoffBelow(lowerBound(keptKeys, keptExperts, topK), most, largestBias);
    const size = indicesFrom(keptKeys, keptExperts, cutoff, candidatesOf(scratch, experts));
    placesToExperts(scratch, experts, groupSize, size);
    orderFirst(scratch, row, kind, bias, experts, size, topK, most, largestBias);
    takeFirst(orderOf(scratch, experts), topK, row, chosen, loads);
  }
}
