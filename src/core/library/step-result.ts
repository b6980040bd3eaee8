import type { RunSummary } from "../metrics/run-summary.ts";
import type { StepMetrics } from "../metrics/step-metrics.ts";
import type { StepRecord } from "../metrics/step-record.ts";

/**
 * What one router did on one step, as plain data: the columns of steps.csv and diagnostics.csv in camel case, and the load.
 * Null where a column does not apply.
 */
export interface StepResult extends StepMetrics {
  /** Counts from 0. */
  readonly step: number;
  /** Tokens of the batch; null for recorded load counts, which do not tell. */
  readonly tokens: number | null;
  /** `[experts]`, (token, expert) pairs on each expert, before any drop. */
  readonly load: readonly number[];
  /** (OPT − F) / (tokens · topK) ≥ 0; null on steps on which the optimum was not asked for. */
  readonly regret: number | null;
  /** Σ of `regret` up to this step. */
  readonly regretCumulative: number | null;
  /** How much of `regret` may be due to the bound; 0 when the optimum is exact. */
  readonly optimumGap: number | null;
  /** Dual regret up to this step, of routers with a bias; known only when the run is over, and null before. */
  readonly dualRegretCumulative: number | null;
  /** Iterations of the transport solver; null on steps on which none ran. */
  readonly solverIterations: number | null;
  /** How far the plan is from its marginals. */
  readonly marginalError: number | null;
  /** Primal − dual value of a sparsity-constrained plan. */
  readonly dualityGap: number | null;
  /** The most non-zeros in a column of a sparsity-constrained plan. */
  readonly maxColumnCardinality: number | null;
  /** Where the stream trains: mean loss over the batch's tokens, before it learnt from them. */
  readonly taskLoss: number | null;
  /** Euclidean norm of the loss's gradient with respect to the gate's weights. */
  readonly gateGradientNorm: number | null;
  /** How undecided the gate is, 0 … 1. */
  readonly routingEntropy: number | null;
  /** Mutual information of cluster and expert over the batch's pairs, in nats; null where clusters are not known. */
  readonly specialisation: number | null;
  /** Mean cosine between the outputs of two experts on the same tokens, −1 … 1. */
  readonly expertSimilarity: number | null;
}

/** What one router came to over a run: the metrics of summary.csv in camel case, null where one does not apply. */
export interface RunResult extends RunSummary {
  /** Dual regret of the whole run, of routers with a bias; null where the scenario asks for no regret. */
  readonly dualRegretCumulative: number | null;
}

/** A copy of `record` that the next step leaves alone. */
export function stepResultOf({ step, tokens, load, metrics, regret, solver, training }: StepRecord): StepResult {
  return {
    step,
    tokens,
    load: Array.from(load),
    ...metrics,
    regret: regret?.regret ?? null,
    regretCumulative: regret?.regretCumulative ?? null,
    optimumGap: regret?.optimumGap ?? null,
    dualRegretCumulative: null,
    solverIterations: solver?.iterations ?? null,
    marginalError: solver?.marginalError ?? null,
    dualityGap: solver?.dualityGap ?? null,
    maxColumnCardinality: solver?.maxColumnCardinality ?? null,
    taskLoss: training?.taskLoss ?? null,
    gateGradientNorm: training?.gateGradientNorm ?? null,
    routingEntropy: training?.routingEntropy ?? null,
    specialisation: training?.specialisation ?? null,
    expertSimilarity: training?.expertSimilarity ?? null,
  };
}
