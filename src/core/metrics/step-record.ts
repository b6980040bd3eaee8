import type { Assignment } from "../assignment.ts";
import type { SolverReport } from "../solver-report.ts";
import type { TokenBatch } from "../token-batch.ts";
import type { Evaluation, TrainingStep } from "../training-step.ts";
import type { StepMetrics } from "./catalogue.ts";
import type { PlacedStep, Spread } from "./ranks.ts";
import type { StepRegret } from "./regret.ts";
import type { BatchFacts } from "./step-metrics.ts";

/** What one router's metrics on a step are measured from. Valid until the next step is measured. */
export interface StepFacts {
  /** `[experts that some token can have]`, before drops. */
  readonly load: ArrayLike<number>;
  /** `[ranks]`, the load that the capacity policy leaves, summed over each rank's experts. */
  readonly rankLoad: Float64Array;
  /** `[experts]`, what the capacity policy leaves. */
  readonly keptLoad: ArrayLike<number>;
  /** Null if the experts are in order on the ranks. */
  readonly placed: PlacedStep | null;
  /** Tokens · topK; fewer if tokens have fewer than topK enabled experts. */
  readonly pairs: number;
  /** Pairs over capacity, plus those that the router left unassigned. */
  readonly dropped: number;
  /** Null for recorded choices, whose logits are unknown. */
  readonly routed: RoutedFacts | null;
}

/** What is also known if the router ran here. */
export interface RoutedFacts {
  readonly batch: TokenBatch;
  readonly shared: BatchFacts;
  readonly assignment: Assignment;
  /** `[tokens × slots]`, the experts that the capacity policy leaves, −1 = none. */
  readonly remaining: Int32Array;
  /** `[tokens × slots]`, S of each pair by the measured affinities. */
  readonly pairScore: Float64Array;
  /** `[experts]`, b after the batch; null for routers without one. */
  readonly bias: Float64Array | null;
  /** Whether the stream learns from the batch. */
  readonly trains: boolean;
  /** Load-balancing loss of the choice before drops, in the measured scope. */
  readonly auxLoss: number;
  /** Ranks and nodes per token, after the capacity policy; null on one rank, and if no token has an expert. */
  spread(): Spread | null;
  /** Fraction of pairs that differ from plain top-k's choice. */
  churn(): number;
}

/** Values of a step that depend on optima or on the best bias in hindsight, which another thread may find. */
export interface JoinedFigures {
  /** Null on steps whose optimum was not computed. */
  readonly regret: StepRegret | null;
  /** Sum up to this step; absent for routers without a bias, and until the run ends. */
  readonly dualRegretCumulative?: number;
}

/** What routers and streams report of one step. */
export interface StepReport {
  readonly step: number;
  /** Tokens of the batch; null for recorded load counts, which do not say. */
  readonly tokens: number | null;
  /** `[experts]`, overwritten by the next step. */
  readonly load: ArrayLike<number>;
  /** `[experts]`, 1 for experts that some token can have; absent if these are all. */
  readonly enabled?: Uint8Array;
  /** `[ranks]`, the loads of ranks that a capacity policy leaves; absent without one. Overwritten by the next step. */
  readonly rankLoad?: Float64Array;
  /** Experts that moved before the step; present if the scenario places them. */
  readonly moves?: number;
  /** Present on steps on which a transport solver ran. */
  readonly solver?: SolverReport;
  /** Present if the stream trains. */
  readonly training?: TrainingStep;
  /** Present on steps after which the stream evaluated on held-back data. */
  readonly evaluation?: Evaluation;
}

/** What one router did on one step, as the summary and the files take it. */
export interface StepRecord extends StepReport, JoinedFigures {
  readonly metrics: StepMetrics;
}

/** Whether a step has no pair: no token, or none that can have an expert. Such steps are in no mean. */
export function isEmptyStep({ metrics }: StepRecord): boolean {
  return metrics.maxVio === null;
}
