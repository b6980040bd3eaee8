/** Which transport problem a router's plan solves. */
export type PlanKind = "entropic" | "sparsity-constrained";

/** What a transport solver says of its own answer. */
export interface SolverReport {
  /** Iterations spent on this batch. */
  readonly iterations: number;
  /** How far the plan is from its marginals: ‖Pᵀ1 − T/E‖₁ / T for entropic plans, see `scot` for its own. */
  readonly marginalError: number;
  /** Whether `marginalError` is within the tolerance asked for. */
  readonly converged: boolean;
  /** Primal minus dual value of the plan, where the solver has both. */
  readonly dualityGap?: number;
  /** The most non-zeros in a column of the plan, for sparsity-constrained plans. */
  readonly maxColumnCardinality?: number;
}
