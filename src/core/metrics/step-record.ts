import type { SolverReport } from "../solver-report.ts";
import type { StepRegret } from "./regret.ts";
import type { StepMetrics } from "./step-metrics.ts";
import type { TrainingMetrics } from "./training.ts";

/** What one router did on one step, as the summary and the files take it. */
export interface StepRecord {
  readonly step: number;
  /** Tokens of the batch; null for recorded load counts, which do not tell. */
  readonly tokens: number | null;
  /** `[experts]`, overwritten by the next step. */
  readonly load: ArrayLike<number>;
  readonly metrics: StepMetrics;
  /** Null on the steps on which the optimum was not computed. */
  readonly regret: StepRegret | null;
  /** Present on the steps on which a transport solver ran. */
  readonly solver?: SolverReport;
  /** Present where the stream trains. */
  readonly training?: TrainingMetrics;
}
