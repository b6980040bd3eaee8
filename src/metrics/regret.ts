import { type Assignment, expertCapacity, type RoutingShape, type ScoreKind } from "../core/assignment.ts";
import type { TokenBatch } from "../core/token-batch.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { createAssignmentSolver, roundingError } from "../transport/exact-assignment.ts";
import { dropOverCapacity } from "./drops.ts";

/** The best that any assignment could score on a batch, by one kind of affinities. Overwritten by the next batch. */
export interface Optimum {
  /** S `[tokens × experts]`, float64. */
  readonly scores: Float64Array;
  /** A proven upper bound of Σ S over the pairs of any assignment within the capacity; OPT itself when exact. */
  readonly upperBound: number;
  /** Upper bound minus the best assignment that was found, per pair of tokens · topK; 0 when exact. */
  readonly gap: number;
}

/** Finds the optimum of batch after batch. One serves all routers that use the same affinities. */
export interface OptimumFinder {
  find(batch: TokenBatch): Optimum;
}

/** @param gap how far from the optimum, per pair, is good enough; 0 for the optimum itself */
export function createOptimumFinder(
  kernels: Kernels,
  shape: RoutingShape,
  scoreKind: ScoreKind,
  gap: number,
): OptimumFinder {
  const scores = kernels.allocateFloat64(shape.tokens * shape.experts);
  const solver = createAssignmentSolver(kernels, shape.tokens, shape.experts, shape.topK, { gap });
  return {
    find({ logits, tokens, experts }) {
      kernels.affinities(logits, scoreKind, tokens, experts, scores);
      const { value, upperBound } = solver.solve({ scores, tokens, capacity: expertCapacity(tokens, shape) });
      return { scores, upperBound, gap: (upperBound - value) / (tokens * shape.topK) };
    },
  };
}

/** How far one router was from the optimum. */
export interface StepRegret {
  /** (OPT − F) / (tokens · topK) ≥ 0, by the upper bound where OPT is not exact; see {@link createRegretMeter}. */
  readonly regret: number;
  /** Σ of `regret` over the steps on which it was computed, this one included. */
  readonly regretCumulative: number;
  /** In the same unit, how much of `regret` may be due to the bound. */
  readonly optimumGap: number;
}

/** Measures one router's regret, step after step. */
export interface RegretMeter {
  /** Throws `Error` where the score is more than the optimum's bound allows, which is a fault of one of them. */
  measure(optimum: Optimum, assignment: Assignment, batch: TokenBatch): StepRegret;
}

/**
 * Assignment regret: the optimum minus the router's feasible score F. On each expert over capacity C only the C highest
 * scores count, and of a token with more than K experts (`expert-choice`) only its K highest: what remains is feasible
 * for the optimum's problem, so that regret is never negative, whichever proven bound of the optimum it is taken from.
 *
 * @param maxSlots the most slots of the router's assignments
 */
export function createRegretMeter(shape: RoutingShape, maxSlots: number): RegretMeter {
  const { experts, topK } = shape;
  const pairs = shape.tokens * maxSlots;
  const pairScore = new Float64Array(pairs);
  const kept = new Int32Array(pairs);
  const order = new Int32Array(pairs);
  const start = new Int32Array(experts + 1);
  const own = new Float64Array(maxSlots);
  let regretCumulative = 0;

  /** F. */
  function feasibleScore({ scores }: Optimum, assignment: Assignment, tokens: number, capacity: number): number {
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
  }

  return {
    measure(optimum, assignment, { tokens }) {
      const missed = optimum.upperBound - feasibleScore(optimum, assignment, tokens, expertCapacity(tokens, shape));
      if (missed < -1e-9 * optimum.upperBound) throw new Error("A router scored more than the proven optimum.");
      // Two sums of the same scores in another order differ by as much.
      const regret = missed <= roundingError * optimum.upperBound ? 0 : missed / (tokens * topK);
      regretCumulative += regret;
      return { regret, regretCumulative, optimumGap: optimum.gap };
    },
  };
}
