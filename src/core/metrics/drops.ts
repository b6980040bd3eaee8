import type { Assignment } from "../assignment.ts";
import type { TokenBatch } from "../token-batch.ts";

/**
 * What happens to pairs over capacity: nothing, the lowest are dropped, the last to arrive are dropped, or the lowest
 * scores move to other experts.
 */
export const capacityPolicies = ["none", "drop", "drop-position", "reroute"] as const;
/** `none`, `drop` (lowest first), `drop-position` (last to arrive first) or `reroute` (to the next best expert with room). */
export type CapacityPolicy = (typeof capacityPolicies)[number];

/** What `drop` ranks pairs by: their gates, as Megatron-LM's `probs`, or their measured affinities. */
export const dropRankings = ["gates", "scores"] as const;
/** `gates` or `scores`. */
export type DropRanking = (typeof dropRankings)[number];

/** What a scenario does with pairs over capacity. */
export interface CapacityRule {
  readonly capacity: CapacityPolicy;
  readonly dropBy: DropRanking;
  /** Maximum number of further experts that `reroute` tries for a pair. */
  readonly rerouteDepth: number;
}

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

/** Returns the tokens without an expert / `tokens`, for `expert` `[tokens × slots]`, −1 = none; in [0, 1]. */
export function unroutedFraction(expert: Int32Array, slots: number, tokens: number): number {
  let unrouted = 0;
  for (let token = 0; token < tokens; token++) {
    let slot = token * slots;
    const end = slot + slots;
    while (slot < end && expert[slot] < 0) slot += 1;
    if (slot === end) unrouted += 1;
  }
  return unrouted / tokens;
}

/**
 * Writes into `kept` `[tokens × slots]` the experts that remain after every expert keeps at most `capacity` pairs; a
 * dropped slot becomes −1. `drop` keeps the highest of `rank` `[tokens × slots]` (ties: the earlier token),
 * `drop-position` the earliest tokens. The assignment, including its load, is unchanged. `order` `[tokens × slots]` and `start` `[experts + 1]` are
 * scratch.
 */
export function dropOverCapacity(
  assignment: Assignment,
  tokens: number,
  capacity: number,
  policy: "drop" | "drop-position",
  rank: Float32Array | Float64Array,
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
    if (policy === "drop") dropLowest(ofExpert, capacity, rank, kept);
    else for (const pair of ofExpert.subarray(capacity)) kept[pair] = -1;
  }
}

/** Keeps the `capacity` best of an expert's `pairs`, which are in token order. */
function dropLowest(pairs: Int32Array, capacity: number, rank: Float32Array | Float64Array, kept: Int32Array): void {
  const sorted = new Float64Array(pairs.length);
  for (let i = 0; i < pairs.length; i++) sorted[i] = rank[pairs[i]];
  sorted.sort();
  const edge = sorted[sorted.length - capacity] ?? Number.POSITIVE_INFINITY;
  let places = capacity;
  for (let i = sorted.length - 1; i >= 0 && sorted[i] > edge; i--) places -= 1;
  for (let i = 0; i < pairs.length; i++) {
    const pair = pairs[i];
    if (rank[pair] > edge) continue;
    if (rank[pair] === edge && places > 0) places -= 1;
    else kept[pair] = -1;
  }
}

/**
 * Moves the pairs that `dropOverCapacity` took out of `kept` `[tokens × slots]` with policy `drop` to other experts, as
 * far as there is room:
 *
 *     pairs over capacity, in ascending order of `pairScore` (ties: the earlier token, then slot):
 *       e = the token's best expert with fewer than `capacity` pairs that it has not selected and does not have,
 *           among the best `depth` of those that it has not selected and does not have
 *       kept = e; if there is none, the pair stays dropped (−1)
 *
 * Experts are ranked by the token's logits, ties to the lower index; disabled ones do not count. No pair within the
 * capacity has to make room. A moved pair keeps its slot, and with it its gate. The assignment is unchanged. `room`
 * `[experts]` is scratch.
 */
export function rerouteOverCapacity(
  { logits, tokens, experts }: TokenBatch,
  { expert, load, slots }: Assignment,
  capacity: number,
  depth: number,
  pairScore: Float64Array,
  kept: Int32Array,
  room: Float64Array,
): void {
  for (let e = 0; e < experts; e++) room[e] = Math.max(0, capacity - load[e]);
  const over: number[] = [];
  for (let pair = 0; pair < tokens * slots; pair++) if (expert[pair] >= 0 && kept[pair] < 0) over.push(pair);
  over.sort((a, b) => pairScore[a] - pairScore[b] || a - b);
  const isTaken = new Uint8Array(experts);
  for (const pair of over) {
    const token = Math.floor(pair / slots);
    const row = token * experts;
    isTaken.fill(0);
    for (let slot = token * slots; slot < (token + 1) * slots; slot++) {
      if (expert[slot] >= 0) isTaken[expert[slot]] = 1;
      if (kept[slot] >= 0) isTaken[kept[slot]] = 1;
    }
    let best = -1;
    for (let e = 0; e < experts; e++) {
      if (isTaken[e] === 1 || room[e] === 0 || logits[row + e] === Number.NEGATIVE_INFINITY) continue;
      if (best < 0 || logits[row + e] > logits[row + best]) best = e;
    }
    if (best < 0) continue;
    let better = 0;
    for (let e = 0; e < experts; e++) {
      const precedes = logits[row + e] > logits[row + best] || (logits[row + e] === logits[row + best] && e < best);
      if (precedes && isTaken[e] === 0) better += 1;
    }
    if (better >= depth) continue;
    kept[pair] = best;
    room[best] -= 1;
  }
}
