import { type Assignment, pairsOverCapacity, type RoutingShape, type ScoreKind } from "../assignment.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { type Assignable, assignableOf, batchCapacity, type TokenBatch } from "../token-batch.ts";
import { measureStep, type StepMetrics } from "./catalogue.ts";
import { createChurnMeter } from "./churn.ts";
import { type CapacityPolicy, dropOverCapacity, unassignedPairs } from "./drops.ts";
import { loadPerRank } from "./load.ts";
import type { RoutedFacts } from "./step-record.ts";

/**
 * Returns the metrics of a step that only need the load `[experts]`; the others are null. `pairs` = tokens · topK.
 * Pairs that the router left unassigned count as dropped, like those over `capacity`. `rankLoad` `[ranks]` is scratch.
 * Balance is that of the experts with a 1 in `enabled`, `[experts]`; of all experts if it is absent.
 */
export function loadMetrics(
  load: ArrayLike<number>,
  capacity: number,
  pairs: number,
  rankLoad: Float64Array,
  routed: RoutedFacts | null = null,
  enabled?: Uint8Array,
): StepMetrics {
  loadPerRank(load, rankLoad.length, rankLoad);
  const dropped = pairsOverCapacity(load, capacity) + unassignedPairs(load, pairs);
  const counted = enabled === undefined ? load : Array.from(load).filter((_, e) => enabled[e] === 1);
  return measureStep({ load: counted, rankLoad, pairs, dropped, routed });
}

/** What all routers of a scenario share on one batch; computed once. */
export interface BatchFacts {
  /** `[tokens]`, log Σ_e exp(logits). */
  readonly logSumExp: Float64Array;
  /** `[tokens × topK]`, plain top-k's choice. */
  readonly topKExpert: Int32Array;
  /** `router_z`, the mean over tokens of logsumexp² (ST-MoE, Zoph et al. 2022, eq. 5). NaN before the first batch. */
  readonly routerZ: number;
  /** What of the batch can be assigned; null if that is all of it, and before the first batch. */
  readonly assignable: Assignable | null;
  /** Pairs that an expert can take. NaN before the first batch. */
  readonly capacity: number;
  /** Computes all of them for `batch` and returns `routerZ`. */
  observe(batch: TokenBatch): number;
}

export function createBatchFacts(kernels: Kernels, shape: RoutingShape): BatchFacts {
  const logSumExp = kernels.allocateFloat64(shape.tokens);
  const topKExpert = kernels.allocateInt32(shape.tokens * shape.topK);
  const topKLoad = kernels.allocateInt32(shape.experts);
  let routerZ = Number.NaN;
  let assignable: Assignable | null = null;
  let capacity = Number.NaN;
  return {
    logSumExp,
    topKExpert,
    get routerZ() {
      return routerZ;
    },
    get assignable() {
      return assignable;
    },
    get capacity() {
      return capacity;
    },
    observe(batch) {
      const { logits, tokens, experts } = batch;
      assignable = assignableOf(batch, shape.topK);
      capacity = batchCapacity(batch, shape, assignable);
      kernels.logSumExpRows(logits, tokens, experts, logSumExp);
      kernels.selectTopK(logits, "logits", null, tokens, experts, shape.topK, topKExpert, topKLoad);
      let squares = 0;
      let counted = 0;
      for (let token = 0; token < tokens; token++) {
        // A token with every expert disabled has no logits to speak of.
        if (logSumExp[token] === Number.NEGATIVE_INFINITY) continue;
        squares += logSumExp[token] ** 2;
        counted += 1;
      }
      routerZ = counted === 0 ? 0 : squares / counted;
      return routerZ;
    },
  };
}

/** Measures one router's steps. Its arrays are allocated once. */
export interface StepMeter {
  /**
   * Returns the metrics of `assignment` on `batch`. Load metrics and churn refer to the choice before drops; `score`
   * counts the pairs that the capacity policy leaves.
   *
   * @param shared of this batch
   * @param bias `[experts]`, the router's after the batch; null if it has none
   * @param trains whether the stream learns from the batch
   */
  measure(
    batch: TokenBatch,
    shared: BatchFacts,
    assignment: Assignment,
    bias?: Float64Array | null,
    trains?: boolean,
  ): StepMetrics;
  /** `[tokens × slots]`, the experts that the capacity policy leaves in the last measured assignment, −1 = none. */
  remaining(): Int32Array;
}

export function createStepMeter(
  kernels: Kernels,
  shape: RoutingShape,
  scores: ScoreKind,
  policy: CapacityPolicy,
  ranks: number,
  maxSlots: number,
): StepMeter {
  const pairScore = kernels.allocateFloat64(shape.tokens * maxSlots);
  const kept = new Int32Array(shape.tokens * maxSlots);
  const order = new Int32Array(shape.tokens * maxSlots);
  const start = new Int32Array(shape.experts + 1);
  const rankLoad = new Float64Array(ranks);
  const churn = createChurnMeter(shape.experts);
  let remaining: Int32Array;
  return {
    remaining: () => remaining,
    measure(batch, shared, assignment, bias = null, trains = false) {
      const { tokens, experts, logits } = batch;
      const { expert, slots, load } = assignment;
      const { assignable, capacity } = shared;
      kernels.pairScores(logits, scores, shared.logSumExp, expert, tokens, experts, slots, pairScore);
      remaining = expert;
      if (policy !== "none") {
        dropOverCapacity(assignment, tokens, capacity, policy, pairScore, kept, order, start);
        remaining = kept;
      }
      return loadMetrics(
        load,
        capacity,
        assignable?.pairs ?? tokens * shape.topK,
        rankLoad,
        {
          batch,
          shared,
          assignment,
          remaining,
          pairScore,
          bias,
          trains,
          churn: () => churn.measure(expert, slots, shared.topKExpert, shape.topK, tokens),
        },
        assignable?.enabled,
      );
    },
  };
}
