import type { PlanKind } from "../solver-report.ts";
import { estimateMean } from "../stratified-sample.ts";
import { loadPerRank } from "./expert-parallel.ts";
import { createIdleTracker, emptyIdleState, type IdleState } from "./idle.ts";
import { largest, loadCv, loadEntropy, loadGini, maxVio } from "./load.ts";
import { quantileOf } from "./quantile.ts";
import type { RegretSeries } from "./regret.ts";
import type { StepRecord } from "./step-record.ts";
import {
  createTrainingSummary,
  emptyTrainingState,
  type TrainingSummary,
  type TrainingSummaryState,
} from "./training-summary.ts";
import { addTo, emptyMean, meanOf, type WeightedMean } from "./weighted-mean.ts";

/**
 * The metrics of one router over a whole run; null where one does not apply. `maxVioGlobal`, `loadCv`, `loadGini`,
 * `loadEntropy` and `rankMaxVio` are of the loads summed over all steps; fractions of pairs are over all pairs.
 */
export interface RunSummary extends TrainingSummary {
  readonly maxVioGlobal: number;
  readonly maxVioBatchMean: number;
  readonly maxVioBatchP95: number;
  readonly maxVioBatchMax: number;
  /** `[steps]`, of every batch. */
  readonly maxVioBatches: readonly number[];
  readonly loadCv: number;
  readonly loadGini: number;
  readonly loadEntropy: number;
  readonly idleFractionMean: number;
  readonly idleFractionMax: number;
  readonly idleStreakMax: number;
  readonly deadExperts: number;
  readonly droppedFraction: number;
  readonly score: number | null;
  /** Mean regret of a step: an estimate of the run's if steps are sampled; null if none was measured. */
  readonly regretMean: number | null;
  /**
   * Standard error of `regretMean` over the sampled steps, see `estimateMean`; null if every step was measured, or fewer
   * than two were.
   */
  readonly regretSe: number | null;
  /** Σ of the regret of the measured steps, and of no others; null if none was measured. */
  readonly regretCumulative: number | null;
  /** The largest of the steps' proven gaps. */
  readonly optimumGapMax: number | null;
  readonly churn: number | null;
  readonly rankMaxVio: number;
  readonly stepTimeMean: number;
  /** Steps on which a transport solver ran; null for routers without a plan. */
  readonly solverSteps: number | null;
  /** Steps on which Sinkhorn ran; null for routers without an entropic plan. */
  readonly sinkhornSteps: number | null;
  /** Mean over the steps on which a solver ran; null when none did. */
  readonly solverIterationsMean: number | null;
  /** Steps whose plan missed its tolerance; null for routers without a plan. */
  readonly notConvergedSteps: number | null;
}

export interface RunSummaryShape {
  readonly experts: number;
  readonly ranks: number;
  /** Steps, counted back from the last, in which an expert must get a token not to be dead. */
  readonly deadWindow: number;
  /** Regret is measured on one step of every so many; default 1. */
  readonly regretEvery?: number | undefined;
  /** The transport plan the router follows, if it has one. */
  readonly plan?: PlanKind | undefined;
}

/** All that a {@link RunSummaryBuilder} has gathered. Plain data. */
export interface RunSummaryState {
  readonly totalLoad: Float64Array;
  readonly idle: IdleState;
  readonly maxVios: number[];
  readonly maxVio: WeightedMean;
  readonly idleFraction: WeightedMean;
  idleFractionMax: number;
  readonly stepTime: WeightedMean;
  readonly dropped: WeightedMean;
  readonly score: WeightedMean;
  readonly churn: WeightedMean;
  readonly regrets: Readonly<Record<keyof RegretSeries, number[]>>;
  readonly training: TrainingSummaryState;
  solverSteps: number;
  solverIterations: number;
  notConverged: number;
}

function emptyState(experts: number): RunSummaryState {
  return {
    totalLoad: new Float64Array(experts),
    idle: emptyIdleState(experts),
    maxVios: [],
    maxVio: emptyMean(),
    idleFraction: emptyMean(),
    idleFractionMax: 0,
    stepTime: emptyMean(),
    dropped: emptyMean(),
    score: emptyMean(),
    churn: emptyMean(),
    regrets: { regret: [], regretCumulative: [], optimumGap: [] },
    training: emptyTrainingState(),
    solverSteps: 0,
    solverIterations: 0,
    notConverged: 0,
  };
}

/** Gathers steps into a {@link RunSummary}. Keeps a few numbers per step, so that quantiles are exact. */
export interface RunSummaryBuilder {
  /** Changes with every step. */
  readonly state: RunSummaryState;
  observe(record: StepRecord): void;
  /** Needs at least one step. */
  summary(): RunSummary;
}

/** @param state of another of as many experts, to go on from */
export function createRunSummary(
  { experts, ranks, deadWindow, regretEvery = 1, plan }: RunSummaryShape,
  state: RunSummaryState = emptyState(experts),
): RunSummaryBuilder {
  const { totalLoad, maxVios, regrets } = state;
  const idle = createIdleTracker(experts, state.idle);
  const trainingSummary = createTrainingSummary(deadWindow, state.training);

  return {
    state,
    observe({ tokens, load, metrics, regret, solver, training }) {
      for (let expert = 0; expert < experts; expert++) totalLoad[expert] += load[expert];
      idle.observe(load);
      maxVios.push(metrics.maxVio);
      addTo(state.maxVio, metrics.maxVio, 1);
      addTo(state.idleFraction, metrics.idleFraction, 1);
      state.idleFractionMax = Math.max(state.idleFractionMax, metrics.idleFraction);
      addTo(state.stepTime, metrics.stepTime, 1);
      // Every token has topK pairs, so tokens weigh the steps as pairs would.
      const weight = tokens ?? 1;
      addTo(state.dropped, metrics.droppedFraction, weight);
      if (metrics.score !== null) addTo(state.score, metrics.score, weight);
      if (metrics.churn !== null) addTo(state.churn, metrics.churn, weight);
      if (regret !== null) {
        regrets.regret.push(regret.regret);
        regrets.regretCumulative.push(regret.regretCumulative);
        regrets.optimumGap.push(regret.optimumGap);
      }
      if (training !== undefined) trainingSummary.observe(training, weight);
      if (solver !== undefined) {
        state.solverSteps += 1;
        state.solverIterations += solver.iterations;
        if (!solver.converged) state.notConverged += 1;
      }
    },
    summary: () => ({
      maxVioGlobal: maxVio(totalLoad),
      maxVioBatchMean: meanOf(state.maxVio)!,
      maxVioBatchP95: quantileOf(maxVios, 0.95),
      maxVioBatchMax: largest(maxVios),
      maxVioBatches: maxVios,
      loadCv: loadCv(totalLoad),
      loadGini: loadGini(totalLoad),
      loadEntropy: loadEntropy(totalLoad),
      idleFractionMean: meanOf(state.idleFraction)!,
      idleFractionMax: state.idleFractionMax,
      idleStreakMax: idle.longestStreak(),
      deadExperts: idle.deadExperts(deadWindow),
      droppedFraction: meanOf(state.dropped) ?? 0,
      score: meanOf(state.score),
      ...summarizeRegret(regrets, maxVios.length, regretEvery),
      churn: meanOf(state.churn),
      rankMaxVio: maxVio(loadPerRank(totalLoad, ranks, new Float64Array(ranks))),
      stepTimeMean: meanOf(state.stepTime)!,
      solverSteps: plan === undefined ? null : state.solverSteps,
      sinkhornSteps: plan === "entropic" ? state.solverSteps : null,
      solverIterationsMean: state.solverSteps === 0 ? null : state.solverIterations / state.solverSteps,
      notConvergedSteps: plan === undefined ? null : state.notConverged,
      ...trainingSummary.summary(),
    }),
  };
}

/** The regret of a run of `steps` from that of one step of each `every`; null if there is none. */
export function summarizeRegret(
  { regret, regretCumulative, optimumGap }: RegretSeries,
  steps: number,
  every: number,
): Pick<RunSummary, "regretMean" | "regretSe" | "regretCumulative" | "optimumGapMax"> {
  const estimate = estimateMean(regret, steps, every);
  return {
    regretMean: estimate?.mean ?? null,
    regretSe: estimate?.standardError ?? null,
    regretCumulative: regretCumulative[regretCumulative.length - 1] ?? null,
    optimumGapMax: optimumGap.length === 0 ? null : largest(optimumGap),
  };
}
