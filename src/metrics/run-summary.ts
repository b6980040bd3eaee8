import { max, mean } from "d3-array";
import type { PlanKind } from "../core/solver-report.ts";
import { loadPerRank } from "./expert-parallel.ts";
import { createIdleTracker, emptyIdleState, type IdleState } from "./idle.ts";
import { largest, loadCv, loadEntropy, loadGini, maxVio } from "./load.ts";
import { quantileOf } from "./quantile.ts";
import type { StepRegret } from "./regret.ts";
import type { StepRecord } from "./step-record.ts";
import { createTrainingSummary, type TrainedStep, type TrainingSummary } from "./training-summary.ts";
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
  /** Mean of the steps' regret, and its sum, over the steps on which the optimum was computed; null when on none. */
  readonly regretMean: number | null;
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
  readonly regrets: StepRegret[];
  readonly training: TrainedStep[];
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
    regrets: [],
    training: [],
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
  { experts, ranks, deadWindow, plan }: RunSummaryShape,
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
      if (regret !== null) regrets.push(regret);
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
      ...summarizeRegret(regrets),
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

/** The regret of a whole run from that of its steps; null where there is none. */
export function summarizeRegret(
  regrets: readonly StepRegret[],
): Pick<RunSummary, "regretMean" | "regretCumulative" | "optimumGapMax"> {
  return {
    regretMean: mean(regrets, ({ regret }) => regret) ?? null,
    regretCumulative: regrets.at(-1)?.regretCumulative ?? null,
    optimumGapMax: max(regrets, ({ optimumGap }) => optimumGap) ?? null,
  };
}
