import type { Assignment } from "../assignment.ts";

/** What happens to pairs over capacity: nothing, the lowest score is dropped first, or the last to arrive is. */
export const capacityPolicies = ["none", "drop", "drop-position"] as const;
/** `none`, `drop` (lowest score first) or `drop-position` (last to arrive first). */
export type CapacityPolicy = (typeof capacityPolicies)[number];

/**
 * Returns the pairs that a router left without an expert: `pairs` = tokens · topK minus the assigned ones. 0 if a
 * router assigns more than that, as `expert-choice` does.
 */
export function unassignedPairs(load: ArrayLike<number>, pairs: number): number {
  let assigned = 0;
  for (let expert = 0; expert < load.length; expert++) assigned += load[expert];
  return Math.max(0, pairs - assigned);
}

/**
 * Returns Σ of `pairScore` over those of the first `count` pairs that have an `expert` (not −1), divided by `pairs`.
 */
export function meanPairScore(expert: Int32Array, pairScore: Float64Array, count: number, pairs: number): number {
  let score = 0;
  for (let pair = 0; pair < count; pair++) if (expert[pair] >= 0) score += pairScore[pair];
  return score / pairs;
}

/**
 * Writes into `kept` `[tokens × slots]` the experts that remain after every expert keeps at most `capacity` pairs; a
 * dropped slot becomes −1. `drop` keeps the highest `pairScore` (ties: the earlier token), `drop-position` the earliest
 * tokens. The assignment, including its load, is unchanged. `order` `[tokens × slots]` and `start` `[experts + 1]` are
 * scratch.
 */
export function dropOverCapacity(
  assignment: Assignment,
  tokens: number,
  capacity: number,
  policy: Exclude<CapacityPolicy, "none">,
  pairScore: Float64Array,
  kept: Int32Array,
  order: Int32Array,
  start: Int32Array,
): void {
  const { expert, load, slots } = assignment;
  const pairs = tokens * slots;
  start[0] = 0;
  for (let e = 0; e < load.length; e++) start[e + 1] = start[e] + load[e];
  const next = start.slice(0, load.length);
  for (let pair = 0; pair < pairs; pair++) {
    kept[pair] = expert[pair];
    if (expert[pair] >= 0) order[next[expert[pair]]++] = pair;
  }
  for (let e = 0; e < load.length; e++) {
    if (load[e] <= capacity) continue;
    const ofExpert = order.subarray(start[e], start[e + 1]);
    if (policy === "drop") dropLowest(ofExpert, capacity, pairScore, kept);
    else for (const pair of ofExpert.subarray(capacity)) kept[pair] = -1;
  }
}

/** Keeps the `capacity` best of an expert's `pairs`, which are in token order. */
function dropLowest(pairs: Int32Array, capacity: number, pairScore: Float64Array, kept: Int32Array): void {
  const sorted = new Float64Array(pairs.length);
  for (let i = 0; i < pairs.length; i++) sorted[i] = pairScore[pairs[i]];
  sorted.sort();
  const edge = sorted[sorted.length - capacity] ?? Number.POSITIVE_INFINITY;
  let places = capacity;
  for (let i = sorted.length - 1; i >= 0 && sorted[i] > edge; i--) places -= 1;
  for (let i = 0; i < pairs.length; i++) {
    const pair = pairs[i];
    if (pairScore[pair] > edge) continue;
    if (pairScore[pair] === edge && places > 0) places -= 1;
    else kept[pair] = -1;
  }
}
