import { pairsOverCapacity } from "../../assignment.ts";
import type { Kernels } from "../../kernels/kernels.ts";
import { createTopKDescent } from "../hindsight/topk-descent.ts";
import { createTopKDual } from "../hindsight/topk-dual.ts";
import { meanSpread, spreadStride } from "./score-spread.ts";

/** Result of a search. */
export interface PriceSearchReport {
  /** D at the prices found: up to rounding, an upper bound for every assignment within the capacity. */
  readonly bound: number;
  /** Σ_e max(0, load_e − C) when each token takes its K best experts at these prices, ties to the lower expert. */
  readonly overload: number;
  /** Passes over the tokens; a pass over every n-th token counts 1/n. */
  readonly evaluations: number;
}

/** Searches prices for one batch after another, with buffers allocated once. */
export interface PriceSearch {
  /**
   * Lowers D from `price` `[experts]`, finite and ≥ 0, and leaves the prices with the least overload there. `scores`
   * `[tokens × experts]`, finite, from the kernels; `capacity` C > 0. `isWarm` says that the prices are probably near the
   * optimum, such as those of the previous batch. Ends early if `isEnough` accepts the prices of a level, which it finds in
   * `price`.
   */
  improve(
    scores: Float64Array,
    tokens: number,
    capacity: number,
    price: Float64Array,
    isWarm: boolean,
    isEnough?: () => boolean,
  ): PriceSearchReport;
}

/**
 * Levels of a cold start: every `stride`-th token, smoothed by 2^−halvings of the scores' spread. With much smoothing few
 * tokens are enough, and each token has many experts within the width, which determines the cost.
 */
const coarseLevels = [
  { stride: 64, halvings: 2 },
  { stride: 16, halvings: 4 },
  { stride: 16, halvings: 6 },
  { stride: 4, halvings: 8 },
] as const;
const leastStride = 4;

/** On all tokens the width falls by factors of four from the first to the last of these. */
const firstHalvings = 10;
const lastHalvings = 40;

/** Tolerance of the loads, Σ_e |load_e − C|, relative to E·√C, the noise of a random load. */
const tolerance = { coarse: 0.25, first: 0.03, fine: 0.015 };
/** Tolerance of the loads, relative to the overload of the previous width; the looser of the two counts. */
const overloadShare = 0.1;
const maxIterations = 20;
/** See {@link createTopKDual}. */
const curvatureWidth = 2;
/** Largest number of successive levels that may fail: neither converge nor lower the overload. */
const maxFailures = 3;
/** No level starts after this many passes over the tokens. */
const maxEvaluations = 250;

/**
 * Prices at which the experts' demand meets their capacity: the minimum over p ≥ 0 of the dual D of the exact assignment
 * (`topk-dual.ts`), approached through less and less smoothed duals, each minimised by Newton's method from the minimum of
 * the previous one. Ends when the K best experts of each token overload the experts by at most E pairs: at the minimum of D
 * about as many are tied, and no prices can decide them.
 *
 * If that cannot be reached, for example with equal tokens, it gives up after a bounded number of levels.
 *
 * @param tokens the most tokens of a batch
 */
export function createPriceSearch(kernels: Kernels, tokens: number, experts: number, topK: number): PriceSearch {
  const dual = createTopKDual(kernels, experts, topK, curvatureWidth);
  const descent = createTopKDescent(dual, experts);
  const sample = kernels.allocateFloat64(Math.ceil(tokens / leastStride) * experts);
  const thresholds = kernels.allocateFloat64(tokens);
  const load = new Float64Array(experts);
  const shares = new Float64Array(experts);
  const best = new Float64Array(experts);

  function takeEvery(stride: number, scores: Float64Array, count: number): number {
    let taken = 0;
    for (let t = 0; t < count; t += stride) {
      sample.set(scores.subarray(t * experts, (t + 1) * experts), taken * experts);
      taken += 1;
    }
    return taken;
  }

  return {
    improve(scores, count, capacity, price, isWarm, isEnough = () => false) {
      const spread = meanSpread([{ scores, tokens: count }], experts, topK, spreadStride(count));
      let evaluations = 0;

      function minimize(
        width: number,
        used: Float64Array,
        usedCount: number,
        relativeTolerance: number,
        least = 0,
      ): boolean {
        const share = usedCount / count;
        const block = { scores: used, tokens: usedCount, threshold: thresholds, weight: 1 };
        const report = descent.minimize({ blocks: [block], capacity: shares.fill(capacity * share), floor: 0 }, price, {
          width,
          tolerance: Math.max(least, relativeTolerance * experts * Math.sqrt((usedCount * topK) / experts)),
          maxIterations,
          lowerBound: 0,
        });
        evaluations += share * report.evaluations;
        return report.converged;
      }

      thresholds.fill(Number.NaN);
      if (!isWarm) {
        // Fewer than two pairs per expert say nothing about its price.
        const most = Math.floor((count * topK) / (2 * experts));
        for (const { stride, halvings } of coarseLevels) {
          const sparsity = Math.min(stride, most);
          if (sparsity < leastStride) minimize(spread * 2 ** -halvings, scores, count, tolerance.coarse);
          else minimize(spread * 2 ** -halvings, sample, takeEvery(sparsity, scores, count), tolerance.coarse);
          thresholds.fill(Number.NaN);
        }
      }

      let overload = Number.POSITIVE_INFINITY;
      let bound = Number.POSITIVE_INFINITY;
      let failures = 0;
      let found = 0;
      for (let halvings = firstHalvings; halvings <= lastHalvings; halvings += 2) {
        const relativeTolerance = halvings === firstHalvings ? tolerance.first : tolerance.fine;
        // A more exact minimum does not remove the overload of ties within the width.
        const converged = minimize(spread * 2 ** -halvings, scores, count, relativeTolerance, overloadShare * found);
        const value = dual.exact(price, load);
        evaluations += 1;
        found = pairsOverCapacity(load, capacity);
        failures = converged || found < overload ? 0 : failures + 1;
        if (found < overload) {
          overload = found;
          bound = value;
          best.set(price);
        }
        if (overload <= experts || failures === maxFailures || evaluations > maxEvaluations) break;
        if (isEnough()) return { bound: value, overload: found, evaluations };
      }
      price.set(best);
      return { bound, overload, evaluations };
    },
  };
}
