import { z } from "zod";
import type { Kernels } from "../kernels/kernels.ts";

/** The options of {@link createEntropicSolver}, spread into the schemas of the routers that use it. */
export function entropicFields(defaults: { maxIterations: number }) {
  return {
    solver: z
      .enum(["sinkhorn"])
      .default("sinkhorn")
      .describe("How the plan is found: alternating row and column scaling."),
    epsilon: z
      .number()
      .min(1e-6)
      .default(1)
      .describe(
        "Weight ε of the entropy, in units of the logits; the smaller, the closer each token's row is to one expert.",
      ),
    maxIterations: z
      .number()
      .int()
      .nonnegative()
      .default(defaults.maxIterations)
      .describe("Most column updates per batch; 0 leaves the plan at the rows' softmax of logits / epsilon."),
    tolerance: z
      .number()
      .nonnegative()
      .default(1e-4)
      .describe("Stop when ‖Pᵀ1 − T/E‖₁ / T is at most this, measured with exact rows."),
  };
}

const entropicOptions = z.strictObject(entropicFields({ maxIterations: 100 }));

export type EntropicOptions = z.infer<typeof entropicOptions>;

/**
 * max over P ≥ 0 of ⟨Z, P⟩ + ε·H(P), H(P) = −Σ P(log P − 1), with P·1 = 1 for each of T tokens and Pᵀ·1 = T/E for each
 * of E experts.
 */
export interface EntropicProblem {
  /** Z, at least `tokens · experts` finite entries, row-major. */
  readonly logits: Float32Array;
  /** T, at most the tokens the solver was created for. */
  readonly tokens: number;
}

/** The plan P_te = softmax over e of (Z_te/ε + g_e), whose rows are exact, given by its column potential g. */
export interface EntropicSolution {
  /** g `[experts]`, in units of ε, at most 0; belongs to the solver and is overwritten by the next problem. */
  readonly columnPotential: Float64Array;
  /** Column updates done. */
  readonly iterations: number;
  /** ‖Pᵀ1 − T/E‖₁ / T of this very plan, in [0, 2). */
  readonly marginalError: number;
  /** Whether `marginalError` is at most the tolerance. */
  readonly converged: boolean;
}

/** Solves problems of one size with buffers allocated once. */
export interface EntropicSolver {
  solve(problem: EntropicProblem): EntropicSolution;
  /** Writes the plan `[tokens × experts]` of the problem solved last, rows that sum to 1. */
  writePlan(problem: EntropicProblem, plan: Float32Array): void;
}

// Up to this range of exponents every product of a Gibbs entry, at least e^-40, and a column scaling, whose ratios are
// then at most e^40, is a normal float32 number.
const gibbsRange = 40;
// The float32 sweep measures the marginal error with an error of about 1e-6, so finer tolerances need float64.
const gibbsTolerance = 1e-5;

/**
 * Sinkhorn's algorithm (Cuturi 2013, arXiv 1306.0895; BASE and S-BASE use it for routing, arXiv 2202.01169):
 *
 *     g = 0
 *     repeat: rows exact;  s_e = Σ_t P_te;  stop when Σ_e |s_e − T/E| / T ≤ tolerance;  g_e += log(T/E) − log s_e
 *
 * Two implementations of the sweep: over a float32 Gibbs kernel exp((Z − max)/ε) that is computed once, where the range
 * of its exponents and the tolerance allow it, and in float64 in the log domain otherwise. Both are finite for every
 * |Z| ≤ 1e4 and ε ≥ 1e-3. A last sweep measures the plan that is returned. Adding a constant to g changes no plan, so
 * its largest entry is kept at 0 and no scaling overflows.
 *
 * @param tokens the most tokens of a problem
 */
export function createEntropicSolver(
  kernels: Kernels,
  tokens: number,
  experts: number,
  options: EntropicOptions,
): EntropicSolver {
  const { epsilon, maxIterations, tolerance } = options;
  const columnPotential = kernels.allocateFloat64(experts);
  const logColumnSum = kernels.allocateFloat64(experts);
  const columnSum = kernels.allocateFloat64(experts);
  const columnScaling = kernels.allocateFloat32(experts);
  const rowLogSum = kernels.allocateFloat64(tokens);
  const mayUseGibbs = tolerance >= gibbsTolerance;
  const gibbs = kernels.allocateFloat32(mayUseGibbs ? tokens * experts : 0);

  function sweepGibbs(problem: EntropicProblem): void {
    for (let e = 0; e < experts; e++) columnScaling[e] = Math.exp(columnPotential[e]);
    kernels.sinkhornSweep(gibbs, columnScaling, problem.tokens, experts, columnSum);
    for (let e = 0; e < experts; e++) logColumnSum[e] = Math.log(columnSum[e]);
  }

  function sweepLogDomain(problem: EntropicProblem): void {
    kernels.logSinkhornSweep(
      problem.logits,
      epsilon,
      columnPotential,
      problem.tokens,
      experts,
      rowLogSum,
      logColumnSum,
    );
    for (let e = 0; e < experts; e++) columnSum[e] = Math.exp(logColumnSum[e]);
  }

  function marginalErrorOf(problem: EntropicProblem): number {
    const target = problem.tokens / experts;
    let error = 0;
    for (let e = 0; e < experts; e++) error += Math.abs(columnSum[e] - target);
    return error / problem.tokens;
  }

  function updateColumns(problem: EntropicProblem): void {
    const logTarget = Math.log(problem.tokens / experts);
    let largest = Number.NEGATIVE_INFINITY;
    for (let e = 0; e < experts; e++) {
      columnPotential[e] += logTarget - logColumnSum[e];
      largest = Math.max(largest, columnPotential[e]);
    }
    for (let e = 0; e < experts; e++) columnPotential[e] -= largest;
  }

  return {
    solve(problem) {
      const { logits } = problem;
      const useGibbs =
        mayUseGibbs && kernels.gibbsKernel(logits, epsilon, problem.tokens, experts, gibbs) <= gibbsRange;
      const sweep = useGibbs ? sweepGibbs : sweepLogDomain;
      columnPotential.fill(0);
      sweep(problem);
      let marginalError = marginalErrorOf(problem);
      let iterations = 0;
      while (marginalError > tolerance && iterations < maxIterations) {
        updateColumns(problem);
        sweep(problem);
        marginalError = marginalErrorOf(problem);
        iterations += 1;
      }
      return { columnPotential, iterations, marginalError, converged: marginalError <= tolerance };
    },
    writePlan({ logits, tokens: rows }, plan) {
      kernels.entropicPlan(logits, columnPotential, epsilon, rows, experts, plan);
    },
  };
}
