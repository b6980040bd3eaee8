/**
 * max over P ≥ 0 of ⟨Z, P⟩ + ε·H(P), H(P) = −Σ P(log P − 1), with P·1 = 1 for each of T tokens and Pᵀ·1 = T/E for each
 * of E experts.
 *
 * An entry of −∞ has no mass. Experts without any other entry take no part: E counts the others. A row without any other
 * takes no part either, in problems that say `hasDisabled`.
 */
export interface EntropicProblem {
  /** Z, at least `tokens · experts` entries, finite or −∞, row-major. */
  readonly logits: Float32Array;
  /** T, at most the tokens the solver was created for. */
  readonly tokens: number;
  /** Whether there may be entries of −∞; false when absent. */
  readonly hasDisabled?: boolean;
}

/** The plan P_te = softmax over e of (Z_te/ε + g_e), whose rows are exact, given by its column potential g. */
export interface EntropicSolution {
  /** g `[experts]`, in units of ε, at most 0; belongs to the solver and is overwritten by the next problem. */
  readonly columnPotential: Float64Array;
  /** Rounding can have moved each entry of g by this much, besides a constant of all; in units of ε. */
  readonly potentialError: number;
  /** Updates of g: column updates of Sinkhorn's sweeps, and Newton steps. */
  readonly iterations: number;
  /** The column updates of Sinkhorn's sweeps that led from g = 0 to this g; null where Newton steps did. */
  readonly sweeps: number | null;
  /** ‖Pᵀ1 − T/E‖₁ / T of this very plan, in [0, 2). */
  readonly marginalError: number;
  /** Whether `marginalError` is at most the tolerance. */
  readonly converged: boolean;
}

/** What is solved, and when to stop. */
export interface EntropicTerms {
  /** ε, in units of the logits. */
  readonly epsilon: number;
  readonly maxIterations: number;
  /** Of the marginal error. */
  readonly tolerance: number;
}

/** Solves problems of one size with buffers allocated once. */
export interface EntropicMethod {
  /** Of the problem solved last. */
  readonly columnPotential: Float64Array;
  solve(problem: EntropicProblem): EntropicSolution;
}
