import { largest } from "./load.ts";

/**
 * Sums the load `[experts]` over `ranks` equal contiguous groups of experts into `rankLoad` `[ranks]`: the pairs each
 * device computes under expert parallelism. `ranks` divides the number of experts.
 */
export function loadPerRank(load: ArrayLike<number>, ranks: number, rankLoad: Float64Array): Float64Array {
  const expertsPerRank = load.length / ranks;
  rankLoad.fill(0);
  for (let expert = 0; expert < load.length; expert++) rankLoad[Math.floor(expert / expertsPerRank)] += load[expert];
  return rankLoad;
}

/**
 * Slowdown of a step against perfect balance: max over ranks of its load / (`pairs` / R) with `pairs` = tokens · topK. At
 * least 1 unless the router left pairs unassigned; 1 when there are no pairs.
 */
export function stepTime(rankLoad: Float64Array, pairs: number): number {
  return pairs === 0 ? 1 : (largest(rankLoad) * rankLoad.length) / pairs;
}
