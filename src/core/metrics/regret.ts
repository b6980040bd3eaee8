import { type Assignment, expertCapacity, type RoutingShape } from "../assignment.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { createAssignmentSolver, roundingError } from "../transport/assignment/exact-assignment.ts";
import { dropOverCapacity } from "./drops.ts";

/** The best that any assignment could score on a batch, by the measured affinities. */
export interface Optimum {
  /** A proven upper bound of Σ S over the pairs of any assignment within the capacity; OPT itself when exact. */
  readonly upperBound: number;
  /** Upper bound minus the best assignment that was found, per pair of tokens · topK; 0 when exact. */
  readonly gap: number;
}

/** The optima of one measured batch after another, flat. Plain data. */
export interface OptimumSeries {
  readonly upperBound: Float64Array;
  readonly gap: Float64Array;
}

/** Room for the optima of `count` batches. */
export function createOptimumSeries(count: number): OptimumSeries {
  return { upperBound: new Float64Array(count), gap: new Float64Array(count) };
}

/** Finds the optimum of batch after batch. One serves all routers. */
export interface OptimumFinder {
  /** `[experts]`, from which the next search begins: all that is remembered of the batches before. */
  readonly price: Float64Array;
  /** Of affinities S `[tokens × experts]`, float64, from the kernels. `capacity` is the shape's unless it is given. */
  find(scores: Float64Array, tokens: number, capacity?: number): Optimum;
  /** Forgets the batches before, from whose prices the search for the next one's begins. */
  restart(): void;
}

/** @param gap how far from the optimum, per pair, is good enough; 0 for the optimum itself */
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

/** How far one router was from the optimum. */
export interface StepRegret {
  /** (OPT − F) / (tokens · topK) ≥ 0, by the upper bound where OPT is not exact; see {@link createRegretMeter}. */
  readonly regret: number;
  /** Σ of `regret` over the measured steps up to this one: a sum over the sample if steps are sampled. */
  readonly regretCumulative: number;
  /** In the same unit, how much of `regret` may be due to the bound. */
  readonly optimumGap: number;
}

/** The regret of one measured step after another, flat. Plain data. */
export interface RegretSeries {
  readonly regret: ArrayLike<number>;
  readonly regretCumulative: ArrayLike<number>;
  readonly optimumGap: ArrayLike<number>;
}

/** All that a {@link RegretMeter} remembers. Plain data. */
export interface RegretState {
  regretCumulative: number;
}

/** Measures one router's regret, step after step. */
export interface RegretMeter {
  /** Changes with every step. */
  readonly state: RegretState;
  /**
   * `feasibleScore` is the router's, of a batch of `tokens`. Throws `Error` where it is more than the optimum's bound
   * allows, which is a fault of one of them.
   */
  measure(optimum: Optimum, feasibleScore: number, tokens: number): StepRegret;
}

/**
 * Assignment regret: the optimum minus the router's feasible score F (see {@link createFeasibleScore}), never negative,
 * whichever proven bound of the optimum it is taken from.
 *
 * @param state of another, to go on from
 */
export function createRegretMeter(topK: number, state: RegretState = { regretCumulative: 0 }): RegretMeter {
  return {
    state,
    measure({ upperBound, gap }, feasibleScore, tokens) {
      const missed = upperBound - feasibleScore;
      if (missed < -1e-9 * upperBound) throw new Error("A router scored more than the proven optimum.");
      // Two sums of the same scores in another order differ by as much.
      const regret = missed <= roundingError * upperBound ? 0 : missed / (tokens * topK);
      state.regretCumulative += regret;
      return { regret, regretCumulative: state.regretCumulative, optimumGap: gap };
    },
  };
}

/** F of an assignment on a batch of `tokens` with affinities S `[tokens × experts]`. */
export type FeasibleScore = (scores: Float64Array, assignment: Assignment, tokens: number, capacity?: number) => number;

/**
 * What a router's choice is worth within the capacity: on each expert over capacity C only the C highest scores count, and
 * of a token with more than K experts (`expert-choice`) only its K highest. What remains is feasible for the optimum's
 * problem.
 *
 * @param maxSlots the most slots of the router's assignments
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
