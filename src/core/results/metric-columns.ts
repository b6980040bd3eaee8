/** Which way a metric is better; null if neither way is. */
export type Better = "lower" | "higher" | null;

/** A column of summary.csv as people compare it. */
export interface MetricColumn {
  readonly column: string;
  /** What tables and pictures call it. */
  readonly label: string;
  readonly better: Better;
  /** Whether it is among the few that a terminal shows. */
  readonly isMain: boolean;
}

/** One metric: which way it is better, and the columns of the result files that hold it. */
interface Metric {
  /** Also the name of its column in the files with a row per step, if one of them has it. */
  readonly id: string;
  readonly better: Better;
  /** Its columns in summary.csv, `[column, label]`; those that a terminal shows by default end with "main". */
  readonly summary: readonly (readonly [column: string, label: string, main?: "main"])[];
}

/**
 * Every metric of the result files, in the order of summary.csv, and then those that only the files with a row per step
 * have. Columns that are no metric (names, sizes, loads) are not here, and no way is better for them.
 */
const metrics: readonly Metric[] = [
  {
    id: "max_vio",
    better: "lower",
    summary: [
      ["max_vio_global", "MaxVio of the run", "main"],
      ["max_vio_batch_mean", "MaxVio of a batch, mean", "main"],
      ["max_vio_batch_p95", "MaxVio of a batch, 95th percentile"],
      ["max_vio_batch_max", "MaxVio of a batch, largest"],
    ],
  },
  { id: "load_cv", better: "lower", summary: [["load_cv", "load CV"]] },
  { id: "load_gini", better: "lower", summary: [["load_gini", "load Gini"]] },
  { id: "load_entropy", better: "higher", summary: [["load_entropy", "load entropy"]] },
  {
    id: "idle_fraction",
    better: "lower",
    summary: [
      ["idle_fraction_mean", "idle experts, mean fraction", "main"],
      ["idle_fraction_max", "idle experts, largest fraction"],
    ],
  },
  { id: "idle_streak", better: "lower", summary: [["idle_streak_max", "longest idle streak, steps"]] },
  { id: "dead_experts", better: "lower", summary: [["dead_experts", "dead experts", "main"]] },
  { id: "dropped_fraction", better: "lower", summary: [["dropped_fraction", "dropped pairs, fraction", "main"]] },
  { id: "score", better: "higher", summary: [["score", "score", "main"]] },
  { id: "regret", better: "lower", summary: [["regret_mean", "regret of a batch, mean", "main"]] },
  {
    id: "regret_se",
    better: null,
    summary: [["regret_se", "regret of a batch, standard error of the mean", "main"]],
  },
  { id: "regret_cumulative", better: "lower", summary: [["regret_cumulative", "regret, cumulative"]] },
  { id: "optimum_gap", better: "lower", summary: [["optimum_gap_max", "optimum gap, largest"]] },
  {
    id: "dual_regret_cumulative",
    better: "lower",
    summary: [["dual_regret_cumulative", "dual regret, cumulative, in the router's own affinity", "main"]],
  },
  { id: "churn", better: null, summary: [["churn", "churn"]] },
  { id: "rank_max_vio", better: "lower", summary: [["rank_max_vio", "MaxVio of ranks"]] },
  { id: "step_time", better: "lower", summary: [["step_time_mean", "step time, mean", "main"]] },
  { id: "sinkhorn_steps", better: null, summary: [["sinkhorn_steps", "Sinkhorn steps"]] },
  { id: "solver_iterations", better: null, summary: [["solver_iterations_mean", "solver iterations, mean"]] },
  { id: "not_converged_steps", better: "lower", summary: [["not_converged_steps", "steps not converged"]] },
  {
    id: "task_loss",
    better: "lower",
    summary: [
      ["task_loss", "task loss, last steps", "main"],
      ["task_loss_mean", "task loss, mean of the run"],
    ],
  },
  { id: "gate_gradient_norm", better: null, summary: [["gate_gradient_norm_mean", "gate gradient norm, mean"]] },
  { id: "routing_entropy", better: null, summary: [["routing_entropy", "routing entropy, last steps"]] },
  {
    id: "specialisation",
    better: "higher",
    summary: [["specialisation", "specialisation, last steps, nats", "main"]],
  },
  // Neither way: experts that never learnt also differ from the others.
  { id: "expert_similarity", better: null, summary: [["expert_similarity", "expert similarity, last steps"]] },
  { id: "min_vio", better: "lower", summary: [] },
  // A z-loss penalises large logits, but small ones are no aim in themselves.
  { id: "router_z", better: null, summary: [] },
  { id: "marginal_error", better: "lower", summary: [] },
  { id: "duality_gap", better: "lower", summary: [] },
  { id: "max_column_cardinality", better: null, summary: [] },
];

/** The metrics that a summary.csv can have, in its order, except that the standard error of regret stands beside regret. */
export const metricColumns: readonly MetricColumn[] = metrics.flatMap(({ better, summary }) =>
  summary.map(([column, label, main]) => ({ column, label, better, isMain: main !== undefined })),
);

const directions: ReadonlyMap<string, Better> = new Map([
  ...metrics.map(({ id, better }) => [id, better] as const),
  ...metricColumns.map(({ column, better }) => [column, better] as const),
]);

/** Which way the metric in a column of any result file is better; null if neither way is, or the column is no metric. */
export function directionOf(column: string): Better {
  return directions.get(column) ?? null;
}
