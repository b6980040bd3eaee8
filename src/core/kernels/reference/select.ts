import type { ScoreKind } from "../../assignment.ts";
import type { GroupLimit } from "../kernels.ts";
import { largestOf, rowAffinities, sumExp } from "./affinity.ts";

/**
 * Writes the indices of the `count` largest of `keys` into `chosen` at `offset`, in descending order of the key, ties
 * to the lower index.
 */
function largest(keys: ArrayLike<number>, count: number, chosen: Int32Array, offset: number): void {
  let filled = 0;
  for (let candidate = 0; candidate < keys.length; candidate++) {
    if (filled === count && !(keys[candidate] > keys[chosen[offset + count - 1]])) continue;
    let place = filled < count ? filled++ : count - 1;
    // Strictly greater: an equal key that came earlier has the lower index and stays in front.
    while (place > 0 && keys[candidate] > keys[chosen[offset + place - 1]]) {
      chosen[offset + place] = chosen[offset + place - 1];
      place -= 1;
    }
    chosen[offset + place] = candidate;
  }
}

/** Writes key + bias of the row of `experts` logits from `row` on into `keys` `[experts]`; −∞ for disabled experts. */
function biasedKeys(
  logits: Float32Array,
  row: number,
  experts: number,
  key: ScoreKind,
  bias: Float64Array,
  keys: Float64Array,
): void {
  rowAffinities(logits, row, experts, key, keys);
  for (let e = 0; e < experts; e++) {
    keys[e] = logits[row + e] === Number.NEGATIVE_INFINITY ? Number.NEGATIVE_INFINITY : keys[e] + bias[e];
  }
}

/**
 * The candidates in descending order of their keys, ties to the lower index. But of those with equal keys and equal biases
 * float64 has lost the order of the affinities: they share their places by their logits.
 */
function ordered(
  candidates: readonly number[],
  keys: Float64Array,
  bias: Float64Array,
  logits: Float32Array,
  row: number,
): number[] {
  const order = candidates.toSorted((a, b) => (keys[a] === keys[b] ? a - b : keys[b] > keys[a] ? 1 : -1));
  for (let place = 0; place < order.length; place++) {
    for (let other = place + 1; other < order.length && keys[order[other]] === keys[order[place]]; other++) {
      const [a, b] = [order[place], order[other]];
      const difference = logits[row + b] - logits[row + a];
      if (bias[a] !== bias[b] || difference < 0 || (difference === 0 && a < b)) continue;
      order[place] = b;
      order[other] = a;
    }
  }
  return order;
}

/** Replaces the disabled among the `topK` experts chosen at `offset` by −1, which come last, and counts the others. */
function countEnabled(
  logits: Float32Array,
  row: number,
  expert: Int32Array,
  offset: number,
  topK: number,
  load: Int32Array,
): void {
  for (let slot = offset; slot < offset + topK; slot++) {
    if (logits[row + expert[slot]] === Number.NEGATIVE_INFINITY) expert[slot] = -1;
    else load[expert[slot]] += 1;
  }
}

export function selectTopK(
  logits: Float32Array,
  key: ScoreKind,
  bias: Float64Array | null,
  tokens: number,
  experts: number,
  topK: number,
  expert: Int32Array,
  load: Int32Array,
): void {
  const keys = new Float64Array(experts);
  const all = Array.from(keys.keys());
  load.fill(0, 0, experts);
  for (let t = 0; t < tokens; t++) {
    const row = t * experts;
    if (bias === null) {
      largest(logits.subarray(row, row + experts), topK, expert, t * topK);
    } else {
      biasedKeys(logits, row, experts, key, bias, keys);
      expert.set(ordered(all, keys, bias, logits, row).slice(0, topK), t * topK);
    }
    countEnabled(logits, row, expert, t * topK, topK, load);
  }
}

/** The sum of the two largest of the keys, or the largest where only one is not −∞ or `onlyLargest`. */
function groupScoreOf(keys: Float64Array, onlyLargest: boolean): number {
  const sorted = keys.toSorted().reverse();
  return onlyLargest || sorted.length < 2 || sorted[1] === Number.NEGATIVE_INFINITY ? sorted[0] : sorted[0] + sorted[1];
}

export function selectGroupedTopK(
  logits: Float32Array,
  key: ScoreKind,
  bias: Float64Array,
  { groups, topGroups, groupScore, quota }: GroupLimit,
  tokens: number,
  experts: number,
  topK: number,
  expert: Int32Array,
  load: Int32Array,
): void {
  const groupSize = experts / groups;
  const keys = new Float64Array(experts);
  const scores = new Float64Array(groups);
  const kept = new Int32Array(topGroups);
  const taken = new Int32Array(groups);
  load.fill(0, 0, experts);
  for (let t = 0; t < tokens; t++) {
    biasedKeys(logits, t * experts, experts, key, bias, keys);
    for (let group = 0; group < groups; group++) {
      scores[group] = groupScoreOf(keys.subarray(group * groupSize, (group + 1) * groupSize), groupScore === "max");
    }
    largest(scores, topGroups, kept, 0);
    taken.fill(0);
    expert.fill(-1, t * topK, (t + 1) * topK);
    let slot = t * topK;
    const candidates = Array.from(keys.keys()).filter(
      (e) => kept.includes(Math.floor(e / groupSize)) && keys[e] !== Number.NEGATIVE_INFINITY,
    );
    for (const e of ordered(candidates, keys, bias, logits, t * experts)) {
      const group = Math.floor(e / groupSize);
      if (taken[group] === quota || slot === (t + 1) * topK) continue;
      taken[group] += 1;
      expert[slot++] = e;
      load[e] += 1;
    }
  }
}

/** log S below e^−700, which orders what float64 cannot hold, and S above. */
function softmaxKey(exponent: number, sum: number): number {
  const logarithm = exponent - Math.log(sum);
  return logarithm > -700 ? Math.exp(exponent) / sum : logarithm;
}

export function selectTokens(
  logits: Float32Array,
  key: ScoreKind,
  tokens: number,
  experts: number,
  capacity: number,
  chosen: Int32Array,
): void {
  // The other kinds rank a column as its logits do; only the softmax compares across rows.
  const keys = Float64Array.from(logits.subarray(0, tokens * experts));
  if (key === "softmax") {
    for (let row = 0; row < tokens * experts; row += experts) {
      const largest = largestOf(logits, row, experts);
      const sum = sumExp(logits, row, experts, largest);
      for (let e = row; e < row + experts; e++) {
        if (keys[e] !== Number.NEGATIVE_INFINITY) keys[e] = softmaxKey(keys[e] - largest, sum);
      }
    }
  }
  const order = Array.from({ length: tokens }, (_, t) => t);
  for (let e = 0; e < experts; e++) {
    // `sort` is stable, which leaves ties to the lower token.
    const best = order
      .toSorted((a, b) => {
        const [left, right] = [keys[a * experts + e], keys[b * experts + e]];
        return left === right ? 0 : right - left;
      })
      .slice(0, capacity);
    chosen.set(
      best.sort((a, b) => a - b),
      e * capacity,
    );
  }
}
