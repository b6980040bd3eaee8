import { max, mean, min, sum } from "d3-array";
import type { Kernels } from "../../kernels/kernels.ts";
import { meanSpread, spreadStride } from "../assignment/score-spread.ts";
import { screenTokens } from "../assignment/settled-tokens.ts";
import { createScoreBlocks, type ScoreBatches } from "./score-batches.ts";
import { createTopKDescent } from "./topk-descent.ts";
import { createTopKDual, type TokenBlock } from "./topk-dual.ts";

/** Largest number of experts for which the search is worth its time, which grows faster than their square. */
export const mostHindsightExperts = 512;

/** The best fixed bias of a run, with its proof. */
export interface HindsightBias {
  /** b* `[experts]`, with mean 0. */
  readonly bias: Float64Array;
  /** Σ_n f_n(b*). */
  readonly value: number;
  /** `value` exceeds the minimum by at most this. */
  readonly gap: number;
}

/** First levels: about so many tokens, smoothed by 2^−halvings of the scores' spread. */
const coarseLevels = [
  { tokens: 2 ** 9, halvings: 2 },
  { tokens: 2 ** 11, halvings: 4 },
  { tokens: 2 ** 13, halvings: 6 },
  { tokens: 2 ** 15, halvings: 8 },
] as const;
/** Then levels on all tokens and, from the second of these, on the tokens that may still move. */
const firstHalvings = 10;
const lastHalvings = 40;
/** How far, in widths, prices are expected to move relative to each other on one level, and the factor of a correction. */
const reachWidths = 32;
const reachGrowth = 4;
/** Runs with at most this many scores are walked as a whole: splitting their tokens would take longer. */
const fewestScreened = 2 ** 20;

const curvatureWidth = 1;
/** Steps on a level: as many as this number of scores allows, within the given bounds. */
const scoresForSteps = 2 ** 27;
const [fewestSteps, mostSteps] = [30, 1000];
/** ‖gradient‖₁ / (N·K) at which an intermediate level ends. */
const looseTolerance = 1e-3;

/**
 * Finds the b that minimises Σ_n f_n(b), f_n(b) = (1/T_n)·Σ_t (sum of the K largest of S_t + b) − (K/E)·Σ_e b_e over N
 * batches of T_n tokens (arXiv 2512.03915), which is the dual of `topk-dual.ts` at the prices −b: each token
 * has K experts and each expert a share of N·K/E. Less and less smoothed duals are minimised by Newton's method, first on
 * every n-th token, then on the tokens that the remaining changes of the bias can still move, until the gap is at most
 * `tolerance`. The other tokens' part of the dual is linear; once the prices have moved further than expected, the tokens are
 * split again.
 *
 * The gap is proven. With x and the residual r_e = Σ x_e − N·K/E of the smoothed dual's own maximisers, Σ_n f_n(b') ≥
 * ⟨S, x⟩ + ⟨b', r⟩ for every b'. Some b* lies in a box, and over it the right side is at least the smoothed value, less
 * what the smoothing adds, less max |b* − b|·‖r‖₁. The box is max b* − min b* ≤ 2R, with R ≥ the range of every token's
 * scores: the expert with the least b* is among the K best of some token, so at least E − K others are at most R above it;
 * the one with the largest b* is not, or not wholly, of some token's K, so at least K others are at most R below it; and
 * E + 2 experts in two groups must have one in common. R is 1 for scores in [0, 1]. As Σ_e r_e = 0, b* may be shifted so that its middle is that of b.
 *
 * @param counts how many batches of the same size, one after the other, each of `batches` holds; default 1
 */
export function findHindsightBias(
  kernels: Kernels,
  batches: ScoreBatches,
  experts: number,
  topK: number,
  tolerance: number,
  counts: readonly number[] = batches.map(() => 1),
): HindsightBias {
  const weights = batches.map((scores, n) => (counts[n] * experts) / scores.length);
  if (topK === experts) {
    return { bias: new Float64Array(experts), value: sum(batches, (scores, n) => weights[n] * sum(scores)), gap: 0 };
  }
  const batchCount = sum(counts);
  const dual = createTopKDual(kernels, experts, topK, curvatureWidth);
  const descent = createTopKDescent(dual, experts);
  const tokens = sum(batches, (batch) => batch.length / experts);
  const maxIterations = Math.max(fewestSteps, Math.min(mostSteps, scoresForSteps / (tokens * experts)));
  const share = (batchCount * topK) / experts;
  const capacity = new Float64Array(experts).fill(share);
  const price = new Float64Array(experts);
  const load = new Float64Array(experts);

  function minimize(blocks: Iterable<TokenBlock>, width: number, gradientNorm: number) {
    return descent.minimize({ blocks, capacity, floor: Number.NEGATIVE_INFINITY }, price, {
      width,
      tolerance: gradientNorm,
      maxIterations,
      lowerBound: Number.NEGATIVE_INFINITY,
    });
  }

  const range = Math.max(1, largestRange(batches, experts));
  const all = createScoreBlocks(kernels, batches, experts, weights);
  const spread = meanSpread(all.every(spreadStride(tokens), 1), experts, topK);
  const loose = looseTolerance * batchCount * topK;
  for (const level of coarseLevels) {
    const stride = Math.ceil(tokens / level.tokens);
    const weight = batchCount / Math.ceil(tokens / stride);
    minimize(all.every(stride, weight), spread * 2 ** -level.halvings, 10 * loose);
    all.reset();
  }

  // Tokens are split at some prices, for some reach, and the open ones again at later prices.
  const screens: { price: Float64Array; reach: number }[] = [];
  let open = all;
  let settledScore = 0;

  function screen(reach: number): void {
    const at = kernels.allocateFloat64(experts);
    at.set(price);
    const screening = screenTokens(kernels, open.every(1, null), experts, topK, at, reach);
    open = createScoreBlocks(kernels, screening.open, experts, screening.weights);
    settledScore += screening.settledScore;
    for (let e = 0; e < experts; e++) capacity[e] -= screening.settledLoad[e];
    screens.push({ price: at, reach });
  }

  function openAll(): void {
    screens.length = 0;
    open = all;
    settledScore = 0;
    capacity.fill(share);
  }

  /** Whether the settled tokens are still settled at the current prices. */
  const holds = (width: number) => screens.every(({ price: at, reach }) => movement(at, price) + width <= reach);

  const best = new Float64Array(experts);
  const start = new Float64Array(experts);
  let value = Number.POSITIVE_INFINITY;
  let lowerBound = Number.NEGATIVE_INFINITY;
  let gradientNorm = loose;
  for (let halvings = firstHalvings; halvings <= lastHalvings && value - lowerBound > tolerance; halvings += 2) {
    const width = spread * 2 ** -halvings;
    let reach = reachWidths * width;
    if (halvings > firstHalvings && tokens * experts > fewestScreened) screen(reach);
    start.set(price);
    let report = minimize(open.every(1, null), width, gradientNorm);
    while (!holds(width)) {
      // Beyond the reach the dual of the open tokens says nothing; it need not even be bounded.
      price.set(start);
      openAll();
      reach *= reachGrowth;
      screen(reach);
      report = minimize(open.every(1, null), width, gradientNorm);
    }
    const box = range + (max(price)! - min(price)!) / 2;
    const smoothing = dual.smoothingBound(price);
    lowerBound = Math.max(lowerBound, settledScore + report.value - smoothing - box * report.gradientNorm);
    const found = settledScore + dual.exact(price, load);
    if (found < value) {
      value = found;
      best.set(price);
    }
    // A quarter of the width adds about a sixteenth, since a quarter as many tokens are near their threshold.
    gradientNorm = Math.max(smoothing / 16, tolerance / 8) / box;
  }
  const middle = mean(best)!;
  return { bias: best.map((p) => middle - p), value, gap: Math.max(0, value - lowerBound) };
}

/** The largest range of a token's scores. */
function largestRange(batches: ScoreBatches, experts: number): number {
  let range = 0;
  for (const scores of batches) {
    for (let row = 0; row < scores.length; row += experts) {
      let [least, most] = [scores[row], scores[row]];
      for (let entry = row + 1; entry < row + experts; entry++) {
        if (scores[entry] < least) least = scores[entry];
        if (scores[entry] > most) most = scores[entry];
      }
      range = Math.max(range, most - least);
    }
  }
  return range;
}

/** Largest difference between the changes of two prices. */
function movement(before: Float64Array, after: Float64Array): number {
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let e = 0; e < after.length; e++) {
    least = Math.min(least, after[e] - before[e]);
    most = Math.max(most, after[e] - before[e]);
  }
  return most - least;
}
