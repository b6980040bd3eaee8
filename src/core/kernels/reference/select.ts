import type { ScoreKind } from "../../assignment.ts";
import type { KeyKind } from "../kernels.ts";
import { rowAffinities } from "./affinity.ts";

/**
 * Writes the indices of the `count` largest of `keys` into `chosen` at `offset`, in descending order of the key, ties
 * to the lower index.
 */
export function largest(keys: ArrayLike<number>, count: number, chosen: Int32Array, offset: number): void {
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

/** Writes key + bias of the row of `experts` logits from `row` on into `keys` `[experts]`. */
function biasedKeys(
  logits: Float32Array,
  row: number,
  experts: number,
  key: KeyKind,
  bias: Float64Array,
  keys: Float64Array,
): void {
  if (key === "logits") keys.set(logits.subarray(row, row + experts));
  else rowAffinities(logits, row, experts, key, keys);
  for (let e = 0; e < experts; e++) keys[e] += bias[e];
}

export function selectTopK(
  logits: Float32Array,
  key: KeyKind,
  bias: Float64Array | null,
  tokens: number,
  experts: number,
  topK: number,
  expert: Int32Array,
  load: Int32Array,
): void {
  const keys = new Float64Array(experts);
  load.fill(0, 0, experts);
  for (let t = 0; t < tokens; t++) {
    const row = t * experts;
    if (bias === null) keys.set(logits.subarray(row, row + experts));
    else biasedKeys(logits, row, experts, key, bias, keys);
    largest(keys, topK, expert, t * topK);
    for (let slot = t * topK; slot < (t + 1) * topK; slot++) load[expert[slot]] += 1;
  }
}

export function selectGroupedTopK(
  logits: Float32Array,
  key: ScoreKind,
  bias: Float64Array,
  groups: number,
  topGroups: number,
  tokens: number,
  experts: number,
  topK: number,
  expert: Int32Array,
  load: Int32Array,
): void {
  const groupSize = experts / groups;
  const keys = new Float64Array(experts);
  const groupScore = new Float64Array(groups);
  const best = new Int32Array(Math.min(2, groupSize));
  const kept = new Int32Array(topGroups);
  load.fill(0, 0, experts);
  for (let t = 0; t < tokens; t++) {
    biasedKeys(logits, t * experts, experts, key, bias, keys);
    for (let group = 0; group < groups; group++) {
      const groupKeys = keys.subarray(group * groupSize, (group + 1) * groupSize);
      largest(groupKeys, best.length, best, 0);
      groupScore[group] = best.reduce((sum, e) => sum + groupKeys[e], 0);
    }
    largest(groupScore, topGroups, kept, 0);
    for (let e = 0; e < experts; e++) {
      if (!kept.includes(Math.floor(e / groupSize))) keys[e] = Number.NEGATIVE_INFINITY;
    }
    largest(keys, topK, expert, t * topK);
    for (let slot = t * topK; slot < (t + 1) * topK; slot++) load[expert[slot]] += 1;
  }
}

export function selectTokens(
  logits: Float32Array,
  key: KeyKind,
  tokens: number,
  experts: number,
  capacity: number,
  chosen: Int32Array,
): void {
  // A sigmoid ranks a column as its logits do; only the softmax compares across rows.
  const keys = Float64Array.from(logits.subarray(0, tokens * experts));
  if (key === "softmax") {
    for (let row = 0; row < tokens * experts; row += experts) {
      rowAffinities(logits, row, experts, "softmax", keys.subarray(row, row + experts));
    }
  }
  const order = Array.from({ length: tokens }, (_, t) => t);
  for (let e = 0; e < experts; e++) {
    // `sort` is stable, which leaves ties to the lower token.
    const best = order.toSorted((a, b) => keys[b * experts + e] - keys[a * experts + e]).slice(0, capacity);
    chosen.set(
      best.sort((a, b) => a - b),
      e * capacity,
    );
  }
}
