import type { Kernels } from "../../kernels/kernels.ts";
import type { ScoreBatches } from "../hindsight/score-batches.ts";
import type { TokenBlock } from "../hindsight/topk-dual.ts";

/** A run's tokens, divided into those that no small change of the prices can move, and the others. */
export interface Screening {
  /** S of the tokens that may move, by blocks of the same weight. */
  readonly open: ScoreBatches;
  /** Weight of each token of a block. */
  readonly weights: readonly number[];
  /** `[experts]`, the weighted load of the settled tokens. */
  readonly settledLoad: Float64Array;
  /** Weighted sum of the scores of the settled tokens' pairs. */
  readonly settledScore: number;
}

/**
 * Divides the tokens. A token is settled if the K-th largest of its S − p is more than `reach` above the next. As long as no
 * price rises by more than `reach` relative to another, including the width of the smoothing, it keeps its K experts, all
 * with a mass of 1. `price` `[experts]` is in the kernels' memory.
 */
export function screenTokens(
  kernels: Kernels,
  blocks: Iterable<TokenBlock>,
  experts: number,
  topK: number,
  price: Float64Array,
  reach: number,
): Screening {
  const settledLoad = new Float64Array(experts);
  const load = kernels.allocateFloat64(experts);
  const open: Float32Array[] = [];
  const weights: number[] = [];
  let settledScore = 0;

  function near(scores: Float64Array, row: number, least: number): number {
    let count = 0;
    for (let e = 0; e < experts; e++) if (scores[row + e] - price[e] >= least) count += 1;
    return count;
  }

  for (const { scores, tokens, threshold, weight } of blocks) {
    kernels.relaxedTopK(scores, price, 0, Number.NEGATIVE_INFINITY, tokens, experts, topK, threshold, load, null);
    const rows = new Float32Array(tokens * experts);
    let kept = 0;
    for (let token = 0; token < tokens; token++) {
      const row = token * experts;
      if (near(scores, row, threshold[token] - reach) > topK) {
        for (let e = 0; e < experts; e++) rows[kept + e] = scores[row + e];
        kept += experts;
        continue;
      }
      for (let e = 0; e < experts; e++) {
        if (scores[row + e] - price[e] < threshold[token]) continue;
        settledLoad[e] += weight;
        settledScore += weight * scores[row + e];
      }
    }
    if (kept === 0) continue;
    open.push(rows.slice(0, kept));
    weights.push(weight);
  }
  return { open, weights, settledLoad, settledScore };
}
