/**
 * max over P ≥ 0 of ⟨Z, P⟩ + ε·H(P), H(P) = −Σ P(log P − 1), with P·1 = 1 for each of T tokens and Pᵀ·1 = T/E for each
 * of E experts.
 *
 * An entry of −∞ has no mass. Experts with no other entries are left out, and E does not count them. So are rows with no
 * other entries, if `hasDisabled`.
 */
export interface EntropicProblem {
  /** Z, at least `tokens · experts` entries, finite or −∞, row-major. */
  readonly logits: Float32Array;
  /** T, at most the number of tokens that the solver was created for. */
  readonly tokens: number;
  /** Whether there may be entries of −∞; default false. */
  readonly hasDisabled?: boolean;
}

/** The plan P_te = softmax over e of (Z_te/ε + g_e), whose rows are exact, given by its column potential g. */
export interface EntropicSolution {
  /** g `[experts]`, in units of ε, at most 0; belongs to the solver, and the next problem overwrites it. */
  readonly columnPotential: Float64Array;
  /** Bound on the rounding error of each entry of g, up to a constant shared by all; in units of ε. */
  readonly potentialError: number;
  /** Updates of g: column updates of Sinkhorn's sweeps, and Newton steps. */
  readonly iterations: number;
  /** Number of Sinkhorn's column updates from g = 0 to this g; null if Newton steps were taken. */
  readonly sweeps: number | null;
  /** ‖Pᵀ1 − T/E‖₁ / T of the returned plan, in [0, 2). */
  readonly marginalError: number;
  /** Whether `marginalError` is at most the tolerance. */
  readonly converged: boolean;
}

/** Regularisation and stopping rule. */
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
