import { type Assignment, pairsOverCapacity, type RoutingShape, type ScoreKind } from "../assignment.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { type Assignable, assignableOf, batchCapacity, type TokenBatch } from "../token-batch.ts";
import {
  type AuxLossRule,
  auxLoss,
  createLoadFractions,
  createMeanAffinities,
  type LoadFractionsState,
  type MeanAffinities,
} from "./aux-loss.ts";
import { measureStep, type StepMetrics } from "./catalogue.ts";
import { createChurnMeter } from "./churn.ts";
import { type CapacityRule, dropOverCapacity, rerouteOverCapacity, unassignedPairs } from "./drops.ts";
import { loadPerRank } from "./load.ts";
import { contiguousRanks, type ExpertRanks, type PlacedStep, type Spread, spreadOfTokens } from "./ranks.ts";
import type { RoutedFacts } from "./step-record.ts";

/** What a scenario measures, and how. */
export interface MeasureRule extends CapacityRule {
  readonly measure: { readonly scores: ScoreKind; readonly auxLoss: AuxLossRule };
  /** Devices of expert parallelism, at most as many as experts. */
  readonly ranks: number;
}

/**
 * Returns the metrics of a step that only need the load `[experts]`; the others are null, and so are all of a step with
 * no pairs. `pairs` = tokens · topK. Pairs that the router left unassigned count as dropped, like those over `capacity`.
 * Balance is that of the experts with a 1 in `enabled`, `[experts]`; of all experts if it is absent. `rankLoad`
 * `[ranks]` is set to the loads of the ranks, from `keptLoad` `[experts]`, what a capacity policy leaves. Experts are in
 * order on the ranks unless they are `placed`.
 */
export function loadMetrics(
  load: ArrayLike<number>,
  capacity: number,
  pairs: number,
  rankLoad: Float64Array,
  routed: RoutedFacts | null = null,
  enabled?: Uint8Array,
  keptLoad: ArrayLike<number> = load,
  placed: PlacedStep | null = null,
): StepMetrics {
  if (placed === null) loadPerRank(keptLoad, rankLoad.length, rankLoad);
  else placed.rankLoad(keptLoad, rankLoad);
  const dropped = pairsOverCapacity(load, capacity) + unassignedPairs(load, pairs);
  const counted = enabled === undefined ? load : Array.from(load).filter((_, e) => enabled[e] === 1);
  return measureStep({ load: counted, rankLoad, keptLoad, placed, pairs, dropped, routed });
}

/** What all routers of a scenario share on one batch; computed once. */
export interface BatchFacts {
  /** `[tokens]`, log Σ_e exp(logits). */
  readonly logSumExp: Float64Array;
  /** `[tokens × topK]`, plain top-k's choice. */
  readonly topKExpert: Int32Array;
  /** `router_z`, the mean over tokens of logsumexp² (ST-MoE, Zoph et al. 2022, eq. 5). NaN before the first batch. */
  readonly routerZ: number;
  /** The measured affinities' means, for the load-balancing loss. */
  readonly meanAffinities: MeanAffinities;
  /** What of the batch can be assigned; null if that is all of it, and before the first batch. */
  readonly assignable: Assignable | null;
  /** Pairs that an expert can take. NaN before the first batch. */
  readonly capacity: number;
  /** Computes all of them for `batch` and returns `routerZ`. */
  observe(batch: TokenBatch): number;
}

export function createBatchFacts(kernels: Kernels, shape: RoutingShape & Pick<MeasureRule, "measure">): BatchFacts {
  const logSumExp = kernels.allocateFloat64(shape.tokens);
  const topKExpert = kernels.allocateInt32(shape.tokens * shape.topK);
  const topKLoad = kernels.allocateInt32(shape.experts);
  const meanAffinities = createMeanAffinities(kernels, shape, shape.measure.scores, shape.measure.auxLoss);
  let routerZ = Number.NaN;
  let assignable: Assignable | null = null;
  let capacity = Number.NaN;
  return {
    logSumExp,
    topKExpert,
    meanAffinities,
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
      meanAffinities.observe(batch);
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
  /** All that it remembers of earlier steps; changes with every step. */
  readonly state: LoadFractionsState;
  /**
   * Returns the metrics of `assignment` on `batch`. Metrics of experts' loads and churn refer to the choice before
   * drops; `score` and the metrics of ranks to the pairs that the capacity policy leaves.
   *
   * @param shared of this batch
   * @param bias `[experts]`, the router's after the batch; null if it has none
   * @param trains whether the stream learns from the batch
   * @param placed where the experts are; null if they are in order on the ranks
   */
  measure(
    batch: TokenBatch,
    shared: BatchFacts,
    assignment: Assignment,
    bias?: Float64Array | null,
    trains?: boolean,
    placed?: PlacedStep | null,
  ): StepMetrics;
  /** `[tokens × slots]`, the experts that the capacity policy leaves in the last measured assignment, −1 = none. */
  remaining(): Int32Array;
  /** `[ranks]`, the loads of ranks in the last measured assignment, after the capacity policy. */
  readonly rankLoad: Float64Array;
}

/**
 * @param maxSlots maximum slots of the router's assignments
 * @param from state of another meter with the same settings, to resume from; changes with every step
 */
export function createStepMeter(
  kernels: Kernels,
  shape: RoutingShape & MeasureRule,
  maxSlots: number,
  from?: LoadFractionsState,
): StepMeter {
  const { capacity: policy, dropBy, rerouteDepth, ranks } = shape;
  const { scores } = shape.measure;
  const pairScore = kernels.allocateFloat64(shape.tokens * maxSlots);
  const kept = policy === "none" ? new Int32Array(0) : kernels.allocateInt32(shape.tokens * maxSlots);
  const keptLoad = new Int32Array(shape.experts);
  const room = new Float64Array(shape.experts);
  const order = new Int32Array(shape.tokens * maxSlots);
  const start = new Int32Array(shape.experts + 1);
  const rankLoad = new Float64Array(ranks);
  const churn = createChurnMeter(shape.experts);
  const fractions = createLoadFractions(shape, shape.measure.auxLoss, from);
  const inOrder = contiguousRanks(shape.experts, ranks);
  let remaining: Int32Array;

  /** Two metrics take it. */
  function spreadOf(expert: Int32Array, slots: number, tokens: number, where: ExpertRanks): Spread | null {
    if (spread === undefined) spread = ranks === 1 ? null : spreadOfTokens(expert, slots, tokens, where);
    return spread;
  }
  let spread: Spread | null | undefined;

  return {
    state: fractions.state,
    rankLoad,
    remaining: () => remaining,
    measure(batch, shared, assignment, bias = null, trains = false, placed = null) {
      const { tokens, experts, logits } = batch;
      const { expert, slots, load, gate } = assignment;
      const { assignable, capacity, meanAffinities } = shared;
      kernels.pairScores(logits, scores, shared.logSumExp, expert, tokens, experts, slots, pairScore);
      remaining = expert;
      spread = undefined;
      if (policy !== "none") {
        const rank = policy === "drop" && dropBy === "gates" ? gate : pairScore;
        const dropping = policy === "reroute" ? "drop" : policy;
        dropOverCapacity(assignment, tokens, capacity, dropping, rank, kept, order, start);
        if (policy === "reroute") {
          rerouteOverCapacity(batch, assignment, capacity, rerouteDepth, pairScore, kept, room);
          kernels.pairScores(logits, scores, shared.logSumExp, kept, tokens, experts, slots, pairScore);
        }
        remaining = kept;
        keptLoad.fill(0);
        for (let pair = 0; pair < tokens * slots; pair++) if (kept[pair] >= 0) keptLoad[kept[pair]] += 1;
      }
      fractions.observe(assignment, tokens, meanAffinities.pairs);
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
          auxLoss: auxLoss(fractions.fraction, meanAffinities),
          spread: () => spreadOf(remaining, slots, tokens, placed?.ranks ?? inOrder),
          churn: () => churn.measure(expert, slots, shared.topKExpert, shape.topK, tokens),
        },
        assignable?.enabled,
        policy === "none" ? load : keptLoad,
        placed,
      );
    },
  };
}
