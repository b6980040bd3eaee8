import {
  type Assignment,
  expertCapacity,
  pairsOverCapacity,
  type RoutingShape,
  type ScoreKind,
} from "../assignment.ts";
import type { Kernels } from "../kernels/kernels.ts";
import type { TokenBatch } from "../token-batch.ts";
import { createChurnMeter } from "./churn.ts";
import { type CapacityPolicy, dropOverCapacity, unassignedPairs } from "./drops.ts";
import { loadPerRank, stepTime } from "./expert-parallel.ts";
import { idleFraction, loadCv, loadEntropy, loadGini, maxVio, minVio } from "./load.ts";

/** The metrics of one router on one step; null where one does not apply. Names are those of the CSV columns. */
export interface StepMetrics {
  readonly maxVio: number;
  readonly minVio: number;
  readonly loadCv: number;
  readonly loadGini: number;
  readonly loadEntropy: number;
  readonly idleFraction: number;
  readonly droppedFraction: number;
  readonly score: number | null;
  readonly churn: number | null;
  readonly routerZ: number | null;
  readonly rankMaxVio: number;
  readonly stepTime: number;
}

/**
 * Those metrics that need nothing but the load `[experts]` of a step; `pairs` = tokens · topK. Pairs that the router left
 * unassigned count as dropped, beside those over `capacity`. `rankLoad` `[ranks]` is scratch.
 */
export function loadMetrics(
  load: ArrayLike<number>,
  capacity: number,
  pairs: number,
  rankLoad: Float64Array,
): Omit<StepMetrics, "score" | "churn" | "routerZ"> {
  loadPerRank(load, rankLoad.length, rankLoad);
  const dropped = pairsOverCapacity(load, capacity) + unassignedPairs(load, pairs);
  return {
    maxVio: maxVio(load),
    minVio: minVio(load),
    loadCv: loadCv(load),
    loadGini: loadGini(load),
    loadEntropy: loadEntropy(load),
    idleFraction: idleFraction(load),
    droppedFraction: pairs === 0 ? 0 : dropped / pairs,
    rankMaxVio: maxVio(rankLoad),
    stepTime: stepTime(rankLoad, pairs),
  };
}

/** What all routers of a scenario share on one batch, computed once. */
export interface BatchFacts {
  /** `[tokens]`, log Σ_e exp(logits). */
  readonly logSumExp: Float64Array;
  /** `[tokens × topK]`, plain top-k's choice. */
  readonly topKExpert: Int32Array;
  /** `router_z`, the mean over tokens of logsumexp² (ST-MoE, Zoph et al. 2022, eq. 5). NaN before the first batch. */
  readonly routerZ: number;
  /** Computes all of them for `batch`; returns `routerZ`. */
  observe(batch: TokenBatch): number;
}

export function createBatchFacts(kernels: Kernels, shape: RoutingShape): BatchFacts {
  const logSumExp = kernels.allocateFloat64(shape.tokens);
  const topKExpert = kernels.allocateInt32(shape.tokens * shape.topK);
  const topKLoad = kernels.allocateInt32(shape.experts);
  let routerZ = Number.NaN;
  return {
    logSumExp,
    topKExpert,
    get routerZ() {
      return routerZ;
    },
    observe({ logits, tokens, experts }) {
      kernels.logSumExpRows(logits, tokens, experts, logSumExp);
      kernels.selectTopK(logits, "logits", null, tokens, experts, shape.topK, topKExpert, topKLoad);
      let squares = 0;
      for (let token = 0; token < tokens; token++) squares += logSumExp[token] ** 2;
      routerZ = squares / tokens;
      return routerZ;
    },
  };
}

/** Measures one router's steps. Its arrays are allocated once. */
export interface StepMeter {
  /**
   * The metrics of `assignment` on `batch`. Load metrics and churn are of the choice before drops; `score` counts the
   * pairs that the capacity policy leaves.
   */
  measure(batch: TokenBatch, facts: BatchFacts, assignment: Assignment): StepMetrics;
  /** `[tokens × slots]`, the experts of the assignment measured last that the capacity policy leaves, −1 = none. */
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
    measure({ tokens, experts, logits }, facts, assignment) {
      const { expert, slots, load } = assignment;
      const capacity = expertCapacity(tokens, shape);
      const pairs = tokens * shape.topK;
      kernels.pairScores(logits, scores, facts.logSumExp, expert, tokens, experts, slots, pairScore);
      remaining = expert;
      if (policy !== "none") {
        dropOverCapacity(assignment, tokens, capacity, policy, pairScore, kept, order, start);
        remaining = kept;
      }
      let score = 0;
      for (let pair = 0; pair < tokens * slots; pair++) if (remaining[pair] >= 0) score += pairScore[pair];
      return Object.assign(loadMetrics(load, capacity, pairs, rankLoad), {
        score: score / pairs,
        routerZ: facts.routerZ,
        churn: churn.measure(expert, slots, facts.topKExpert, shape.topK, tokens),
      });
    },
  };
}
