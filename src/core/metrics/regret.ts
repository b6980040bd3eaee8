import { type Assignment, expertCapacity, type RoutingShape } from "../assignment.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { createAssignmentSolver, roundingError } from "../transport/assignment/exact-assignment.ts";
import { dropOverCapacity } from "./drops.ts";

/** Best score of any assignment of a batch, by the measured affinities. */
export interface Optimum {
  /** Proven upper bound of Σ S over the pairs of any assignment within the capacity; OPT itself if exact. */
  readonly upperBound: number;
  /** Upper bound minus the best assignment found, per pair of tokens · topK; 0 if exact. */
  readonly gap: number;
}

/** Optima of successive measured batches, flat. Plain data. */
export interface OptimumSeries {
  readonly upperBound: Float64Array;
  readonly gap: Float64Array;
}

/** Returns room for the optima of `count` batches. */
export function createOptimumSeries(count: number): OptimumSeries {
  return { upperBound: new Float64Array(count), gap: new Float64Array(count) };
}

/** Finds the optima of successive batches. One finder serves all routers. */
export interface OptimumFinder {
  /** `[experts]`, where the next search starts: all that is remembered of earlier batches. */
  readonly price: Float64Array;
  /** Finds the optimum for affinities S `[tokens × experts]`, float64, in the kernels' memory. `capacity`: default the shape's. */
  find(scores: Float64Array, tokens: number, capacity?: number): Optimum;
  /** Forgets earlier batches, whose prices the next search would start from. */
  restart(): void;
}

/** @param gap the distance from the optimum, per pair, that is good enough; 0 for the optimum itself */
export function createOptimumFinder(kernels: Kernels, shape: RoutingShape, gap: number): OptimumFinder {
  const solver = createAssignmentSolver(kernels, shape.tokens, shape.experts, shape.topK, { gap });
  return {
    price: solver.price,
    find(scores, tokens, capacity = expertCapacity(tokens, shape)) {
      const { value, upperBound } = solver.solve({ scores, tokens, capacity });
      return { upperBound, gap: (upperBound - value) / (tokens * shape.topK) };
    },
    restart() {
      solver.price.fill(0);
    },
  };
}

/** Distance of one router from the optimum. */
export interface StepRegret {
  /** (OPT − F) / (tokens · topK) ≥ 0, NaN for an empty step, by the upper bound if OPT is not exact; see {@link createRegretMeter}. */
  readonly regret: number;
  /** Σ of `regret` over the measured steps up to this one: a sum over the sample if steps are sampled. */
  readonly regretCumulative: number;
  /** How much of `regret` may be due to the bound, in the same unit. */
  readonly optimumGap: number;
}

/** Regret of successive measured steps, flat. Plain data. */
export interface RegretSeries {
  readonly regret: ArrayLike<number>;
  readonly regretCumulative: ArrayLike<number>;
  readonly optimumGap: ArrayLike<number>;
}

/** State of a {@link RegretMeter}. Plain data. */
export interface RegretState {
  regretCumulative: number;
}

/** Measures one router's regret step by step. */
export interface RegretMeter {
  /** Changes with every step. */
  readonly state: RegretState;
  /**
   * `feasibleScore` is the router's on a batch of `tokens`; `regret` is NaN if there are none. Throws `Error` if it exceeds what the optimum's bound
   * allows, which is a bug in one of them.
   */
  measure(optimum: Optimum, feasibleScore: number, tokens: number): StepRegret;
}

/**
 * Assignment regret: the optimum minus the router's feasible score F (see {@link createFeasibleScore}). Never negative,
 * whichever proven bound of the optimum is used.
 *
 * @param state of another meter, to resume from
 */
export function createRegretMeter(topK: number, state: RegretState = { regretCumulative: 0 }): RegretMeter {
  return {
    state,
    measure({ upperBound, gap }, feasibleScore, tokens) {
      const missed = upperBound - feasibleScore;
      if (tokens === 0) return { regret: Number.NaN, regretCumulative: state.regretCumulative, optimumGap: gap };
      if (missed < -1e-9 * upperBound) throw new Error("A router scored more than the proven optimum.");
      // Two sums of the same scores in different orders differ by this much.
      const regret = missed <= roundingError * upperBound ? 0 : missed / (tokens * topK);
      state.regretCumulative += regret;
      return { regret, regretCumulative: state.regretCumulative, optimumGap: gap };
    },
  };
}

/** Returns F of an assignment on a batch of `tokens` with affinities S `[tokens × experts]`. */
export type FeasibleScore = (scores: Float64Array, assignment: Assignment, tokens: number, capacity?: number) => number;

/**
 * Value of a router's choice within the capacity: on each expert over capacity C only the C highest scores count, and
 * of a token with more than K experts (`expert-choice`) only its K highest. The remaining pairs are feasible for the
 * optimum's problem.
 *
 * @param maxSlots maximum slots of the router's assignments
 */
export function createFeasibleScore(shape: RoutingShape, maxSlots: number): FeasibleScore {
  const { experts, topK } = shape;
  const pairs = shape.tokens * maxSlots;
  const pairScore = new Float64Array(pairs);
  const kept = new Int32Array(pairs);
  const order = new Int32Array(pairs);
  const start = new Int32Array(experts + 1);
  const own = new Float64Array(maxSlots);
  return (scores, assignment, tokens, capacity = expertCapacity(tokens, shape)) => {
    const { expert, slots } = assignment;
    for (let pair = 0; pair < tokens * slots; pair++) {
      if (expert[pair] >= 0) pairScore[pair] = scores[Math.floor(pair / slots) * experts + expert[pair]];
    }
    dropOverCapacity(assignment, tokens, capacity, "drop", pairScore, kept, order, start);
    let total = 0;
    for (let token = 0; token < tokens; token++) {
      let count = 0;
      for (let pair = token * slots; pair < (token + 1) * slots; pair++) {
        if (kept[pair] >= 0) own[count++] = pairScore[pair];
      }
      if (count > topK) own.subarray(0, count).sort().reverse();
      for (let i = 0; i < Math.min(count, topK); i++) total += own[i];
    }
    return total;
  };
}
