import type { Kernels } from "../../kernels/kernels.ts";
import type { SmoothFunction } from "../optimise/newton.ts";

/** Some tokens, with their thresholds from the last evaluation. Arrays come from the kernels. */
export interface TokenBlock {
  /** S `[tokens × experts]`. */
  readonly scores: Float64Array;
  readonly tokens: number;
  /** `[tokens]`, each token's threshold at the last evaluation; NaN before the first. */
  readonly threshold: Float64Array;
  /** Weight of each of its tokens, positive. */
  readonly weight: number;
}

/** The primal problem: each expert gets at most `capacity` of the blocks' weighted tokens. */
export interface TopKProblem {
  /** Walked once or twice per evaluation, with the same blocks each time. */
  readonly blocks: Iterable<TokenBlock>;
  /** C `[experts]`, not necessarily integers. */
  readonly capacity: Float64Array;
  /** 0: a token takes up to K experts, and prices are non-negative. −∞: it takes K experts at any price. */
  readonly floor: number;
}

/** D of one problem at a time as a function of the prices, smoothed by `width`, in units of the scores. */
export interface TopKDual extends SmoothFunction {
  pose(problem: TopKProblem, width: number): void;
  /** D without smoothing. Writes the loads into `load` `[experts]`; ties go to the lower index. */
  exact(price: Float64Array, load: Float64Array): number;
  /** Upper bound on how much the smoothing raises the value at `price`: a bound of (width/2)·Σ x·(1 − x). */
  smoothingBound(price: Float64Array): number;
}

/**
 * Approximate limit of writes to the Hessian. If tokens have many experts near their threshold, a part of the tokens is
 * enough.
 */
const curvatureEntries = 2 ** 23;

/** Tokens are left out of the Hessian in blocks of this length. */
const run = 16;

/**
 * The dual of the assignment of K experts to each token, at most C tokens to an expert, in the experts' prices:
 *
 *     D(p) = Σ_t max { ⟨S_t − p, x⟩ : 0 ≤ x ≤ 1, Σ_e x_e ≤ K } + Σ_e C_e·p_e
 *
 * It is convex, and an upper bound of the score of every assignment for any p ≥ 0, or for any p if every token has exactly K
 * experts and every expert C tokens. Its smoothing adds (width/2)·Σ_e x_e·(1 − x_e) to what is maximised (Nesterov 2005,
 * "Smooth minimization of non-smooth functions"), and the gradient is C − Σ_t x_te, see `Kernels.relaxedTopK`. All sums
 * over tokens are weighted.
 *
 * @param curvatureWidth the Hessian uses the width times this. Within one width of its threshold a token has few experts, and
 *   none of those that the next step will bring there; a larger width makes the curvature of few tokens less random.
 */
export function createTopKDual(kernels: Kernels, experts: number, topK: number, curvatureWidth: number): TopKDual {
  const prices = kernels.allocateFloat64(experts);
  const mass = kernels.allocateFloat64(experts);
  const curvature = kernels.allocateFloat64(experts * experts);
  let problem: TopKProblem = { blocks: [], capacity: new Float64Array(experts), floor: 0 };
  let width = 0;
  // Of the problem, counted by each walk over all of it.
  let tokenCount = 0;
  let totalWeight = 0;
  /** Mean number of experts that a token has near its threshold; NaN before the first Hessian of a problem. */
  let near = Number.NaN;

  function valueAt(price: Float64Array, smoothing: number): number {
    prices.set(price);
    mass.fill(0);
    tokenCount = 0;
    totalWeight = 0;
    let value = 0;
    // The sums are in units of the current block's weight, which rarely changes.
    let unit = 1;
    for (const { scores, tokens, threshold, weight } of problem.blocks) {
      if (weight !== unit) {
        scale(mass, unit / weight);
        value *= unit / weight;
        unit = weight;
      }
      tokenCount += tokens;
      totalWeight += weight * tokens;
      const { floor } = problem;
      value += kernels.relaxedTopK(scores, prices, smoothing, floor, tokens, experts, topK, threshold, mass, null);
    }
    scale(mass, unit);
    value *= unit;
    for (let e = 0; e < experts; e++) value += problem.capacity[e] * price[e];
    return value;
  }

  /** Sums the curvature of about this fraction of the tokens, evenly spread; returns their weight. */
  function sampleCurvature(smoothing: number, fraction: number): number {
    let taken = 0;
    let due = 0;
    let takenWeight = 0;
    let unit = 1;
    curvature.fill(0);
    for (const { scores, tokens, threshold, weight } of problem.blocks) {
      if (weight !== unit) scale(curvature, unit / weight);
      unit = weight;
      for (let from = 0; from < tokens; ) {
        const to = Math.min(tokens, fraction < 1 ? from + run : tokens);
        due += fraction * (to - from);
        if (taken < due) {
          kernels.relaxedTopK(
            scores.subarray(from * experts, to * experts),
            prices,
            smoothing,
            problem.floor,
            to - from,
            experts,
            topK,
            threshold.subarray(from, to),
            mass,
            curvature,
          );
          taken += to - from;
          takenWeight += weight * (to - from);
        }
        from = to;
      }
    }
    scale(curvature, unit);
    return takenWeight;
  }

  function trace(): number {
    let sum = 0;
    for (let e = 0; e < experts; e++) sum += curvature[e * experts + e];
    return sum;
  }

  /** From the trace: the m experts that a token has near its threshold contribute (m − 1)/width. */
  function nearOf(weight: number, smoothing: number): number {
    return 1 + (trace() * smoothing) / weight;
  }

  return {
    pose(next, smoothing) {
      problem = next;
      width = smoothing;
      near = Number.NaN;
    },
    evaluate(price, gradient) {
      const value = valueAt(price, width);
      for (let e = 0; e < experts; e++) gradient[e] = problem.capacity[e] - mass[e];
      return value;
    },
    hessian(price, out) {
      prices.set(price);
      const wide = curvatureWidth * width;
      if (Number.isNaN(near)) near = nearOf(sampleCurvature(wide, 1 / 16), wide);
      const sampled = sampleCurvature(wide, Math.min(1, curvatureEntries / (tokenCount * near * near)));
      near = nearOf(sampled, wide);
      for (let i = 0; i < out.length; i++) out[i] = (curvature[i] * totalWeight) / sampled;
    },
    exact(price, load) {
      const value = valueAt(price, 0);
      load.set(mass);
      return value;
    },
    smoothingBound(price) {
      prices.set(price);
      sampleCurvature(width, 1);
      // Σ x·(1 − x) over m entries is at most m/4, and m/4 ≤ (m − 1)/2, since a single entry is never fractional.
      return (width * width * trace()) / 4;
    },
  };
}

function scale(values: Float64Array, factor: number): void {
  if (factor === 1) return;
  for (let i = 0; i < values.length; i++) values[i] *= factor;
}
