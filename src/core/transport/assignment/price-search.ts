import { pairsOverCapacity } from "../../assignment.ts";
import type { Kernels } from "../../kernels/kernels.ts";
import { createTopKDescent } from "../hindsight/topk-descent.ts";
import { createTopKDual } from "../hindsight/topk-dual.ts";
import { meanSpread, spreadStride } from "./score-spread.ts";

/** What a search came to. */
export interface PriceSearchReport {
  /** D at the prices found, up to rounding at least the score of every assignment within the capacity. */
  readonly bound: number;
  /** Σ_e max(0, load_e − C) when each token takes its K best experts at these prices, ties to the lower expert. */
  readonly overload: number;
  /** Walks over the tokens, one over every n-th token counted as 1/n. */
  readonly evaluations: number;
}

/** Searches the prices of one batch after another with buffers allocated once. */
export interface PriceSearch {
  /**
   * Lowers D from `price` `[experts]`, finite and ≥ 0, and leaves there the prices with the least overload that it met.
   * `scores` `[tokens × experts]`, finite, from the kernels; `capacity` C > 0. With `isWarm` the prices are believed to be
   * near: those of the batch before, say. Ends early, and leaves these, where `isEnough` says so of the prices of a level,
   * to which it may look in `price`.
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
 * The way from afar: every `stride`-th token, smoothed by 2^−halvings of the scores' spread. Where much is smoothed few
 * tokens tell enough, and the number of a token's experts within the width, which the work goes with, is large.
 */
const coarseLevels = [
  { stride: 64, halvings: 2 },
  { stride: 16, halvings: 4 },
  { stride: 16, halvings: 6 },
  { stride: 4, halvings: 8 },
] as const;
const leastStride = 4;

/** On all tokens the width falls by fours from the first to the last of these. */
const firstHalvings = 10;
const lastHalvings = 40;

/** What the loads may be off, Σ_e |load_e − C|, relative to E·√C, the size of a random load's own noise. */
const tolerance = { coarse: 0.25, first: 0.03, fine: 0.015 };
/** Nor need they be nearer than this share of the overload at the width before. */
const overloadShare = 0.1;
const maxIterations = 20;
/** See {@link createTopKDual}. */
const curvatureWidth = 2;
/** Levels in succession that may fail, neither converged nor with less overload. */
const maxFailures = 3;
/** No level is begun after so many walks over the tokens. */
const maxEvaluations = 250;

/**
 * Prices at which the experts' demand meets their capacity: the minimum over p ≥ 0 of the dual D of the exact assignment
 * (`topk-dual.ts`), approached through ever less smoothed duals, each minimised by Newton's method from the minimum of
 * the one before. Ends when the K best experts of each token overload the experts by E pairs: at the minimum of D
 * itself about as many are tied, and no prices decide them.
 *
 * Where that end cannot be reached, with equal tokens for example, it gives up after a bounded number of levels.
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
        // Fewer pairs than two to an expert tell nothing of its price.
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
        // What the ties within the width make of the load is not mended by a finer minimum.
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
