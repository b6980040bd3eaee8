/** The transport problem that a router's plan solves. */
export type PlanKind = "entropic" | "sparsity-constrained";

/** A transport solver's report on its own solution. */
export interface SolverReport {
  /** Iterations spent on this batch. */
  readonly iterations: number;
  /** Distance of the plan from its marginals: ‖Pᵀ1 − T/E‖₁ / T for entropic plans; `scot` defines its own. */
  readonly marginalError: number;
  /** Whether `marginalError` is within the requested tolerance. */
  readonly converged: boolean;
  /** Primal minus dual value of the plan, if the solver has both. */
  readonly dualityGap?: number;
  /** Maximum number of non-zeros in a column of the plan, for sparsity-constrained plans. */
  readonly maxColumnCardinality?: number;
}
