/** A column of summary.csv as people compare it. */
export interface MetricColumn {
  readonly column: string;
  /** What tables and pictures call it. */
  readonly label: string;
  /** Which way is better; null where neither is. */
  readonly better: "lower" | "higher" | null;
  /** Whether it is among the few that a terminal shows. */
  readonly isMain: boolean;
}

/** The metrics that a summary.csv can have, in its order, but for the error of regret, which stands beside regret. */
export const metricColumns: readonly MetricColumn[] = [
  { column: "max_vio_global", label: "MaxVio of the run", better: "lower", isMain: true },
  { column: "max_vio_batch_mean", label: "MaxVio of a batch, mean", better: "lower", isMain: true },
  { column: "max_vio_batch_p95", label: "MaxVio of a batch, 95th percentile", better: "lower", isMain: false },
  { column: "max_vio_batch_max", label: "MaxVio of a batch, largest", better: "lower", isMain: false },
  { column: "load_cv", label: "load CV", better: "lower", isMain: false },
  { column: "load_gini", label: "load Gini", better: "lower", isMain: false },
  { column: "load_entropy", label: "load entropy", better: "higher", isMain: false },
  { column: "idle_fraction_mean", label: "idle experts, mean fraction", better: "lower", isMain: true },
  { column: "idle_fraction_max", label: "idle experts, largest fraction", better: "lower", isMain: false },
  { column: "idle_streak_max", label: "longest idle streak, steps", better: "lower", isMain: false },
  { column: "dead_experts", label: "dead experts", better: "lower", isMain: true },
  { column: "dropped_fraction", label: "dropped pairs, fraction", better: "lower", isMain: true },
  { column: "score", label: "score", better: "higher", isMain: true },
  { column: "regret_mean", label: "regret of a batch, mean", better: "lower", isMain: true },
  { column: "regret_se", label: "regret of a batch, standard error of the mean", better: null, isMain: true },
  { column: "regret_cumulative", label: "regret, cumulative", better: "lower", isMain: false },
  { column: "optimum_gap_max", label: "optimum gap, largest", better: "lower", isMain: false },
  {
    column: "dual_regret_cumulative",
    label: "dual regret, cumulative, in the router's own affinity",
    better: "lower",
    isMain: true,
  },
  { column: "churn", label: "churn", better: null, isMain: false },
  { column: "rank_max_vio", label: "MaxVio of ranks", better: "lower", isMain: false },
  { column: "step_time_mean", label: "step time, mean", better: "lower", isMain: true },
  { column: "sinkhorn_steps", label: "Sinkhorn steps", better: null, isMain: false },
  { column: "solver_iterations_mean", label: "solver iterations, mean", better: null, isMain: false },
  { column: "not_converged_steps", label: "steps not converged", better: "lower", isMain: false },
  { column: "task_loss", label: "task loss, last steps", better: "lower", isMain: true },
  { column: "task_loss_mean", label: "task loss, mean of the run", better: "lower", isMain: false },
  { column: "gate_gradient_norm_mean", label: "gate gradient norm, mean", better: null, isMain: false },
  { column: "routing_entropy", label: "routing entropy, last steps", better: null, isMain: false },
  { column: "specialisation", label: "specialisation, last steps, nats", better: "higher", isMain: true },
  // Experts that never learnt are unlike the others, too.
  { column: "expert_similarity", label: "expert similarity, last steps", better: null, isMain: false },
];
