import { max, mean } from "d3-array";
import type { PlanKind } from "../core/solver-report.ts";
import { loadPerRank } from "./expert-parallel.ts";
import { createIdleTracker } from "./idle.ts";
import { largest, loadCv, loadEntropy, loadGini, maxVio } from "./load.ts";
import { quantileOf } from "./quantile.ts";
import type { StepRegret } from "./regret.ts";
import type { StepRecord } from "./step-record.ts";
import { createTrainingSummary, type TrainingSummary } from "./training-summary.ts";
import { createWeightedMean } from "./weighted-mean.ts";

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

/** Gathers steps into a {@link RunSummary}. Keeps a few numbers per step, so that quantiles are exact. */
export interface RunSummaryBuilder {
  observe(record: StepRecord): void;
  /** Needs at least one step. */
  summary(): RunSummary;
}

export function createRunSummary({ experts, ranks, deadWindow, plan }: RunSummaryShape): RunSummaryBuilder {
  const totalLoad = new Float64Array(experts);
  const idle = createIdleTracker(experts);
  const maxVios: number[] = [];
  const maxVioMean = createWeightedMean();
  const idleFraction = createWeightedMean();
  let idleFractionMax = 0;
  const stepTime = createWeightedMean();
  const dropped = createWeightedMean();
  const score = createWeightedMean();
  const churn = createWeightedMean();
  const regrets: StepRegret[] = [];
  const trainingSummary = createTrainingSummary(deadWindow);
  let solverSteps = 0;
  let solverIterations = 0;
  let notConverged = 0;

  return {
    observe({ tokens, load, metrics, regret, solver, training }) {
      for (let expert = 0; expert < experts; expert++) totalLoad[expert] += load[expert];
      idle.observe(load);
      maxVios.push(metrics.maxVio);
      maxVioMean.add(metrics.maxVio, 1);
      idleFraction.add(metrics.idleFraction, 1);
      idleFractionMax = Math.max(idleFractionMax, metrics.idleFraction);
      stepTime.add(metrics.stepTime, 1);
      // Every token has topK pairs, so tokens weigh the steps as pairs would.
      const weight = tokens ?? 1;
      dropped.add(metrics.droppedFraction, weight);
      if (metrics.score !== null) score.add(metrics.score, weight);
      if (metrics.churn !== null) churn.add(metrics.churn, weight);
      if (regret !== null) regrets.push(regret);
      if (training !== undefined) trainingSummary.observe(training, weight);
      if (solver !== undefined) {
        solverSteps += 1;
        solverIterations += solver.iterations;
        if (!solver.converged) notConverged += 1;
      }
    },
    summary: () => ({
      maxVioGlobal: maxVio(totalLoad),
      maxVioBatchMean: maxVioMean.value()!,
      maxVioBatchP95: quantileOf(maxVios, 0.95),
      maxVioBatchMax: largest(maxVios),
      maxVioBatches: maxVios,
      loadCv: loadCv(totalLoad),
      loadGini: loadGini(totalLoad),
      loadEntropy: loadEntropy(totalLoad),
      idleFractionMean: idleFraction.value()!,
      idleFractionMax,
      idleStreakMax: idle.longestStreak(),
      deadExperts: idle.deadExperts(deadWindow),
      droppedFraction: dropped.value() ?? 0,
      score: score.value(),
      ...summarizeRegret(regrets),
      churn: churn.value(),
      rankMaxVio: maxVio(loadPerRank(totalLoad, ranks, new Float64Array(ranks))),
      stepTimeMean: stepTime.value()!,
      solverSteps: plan === undefined ? null : solverSteps,
      sinkhornSteps: plan === "entropic" ? solverSteps : null,
      solverIterationsMean: solverSteps === 0 ? null : solverIterations / solverSteps,
      notConvergedSteps: plan === undefined ? null : notConverged,
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
