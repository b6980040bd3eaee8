import { z } from "zod";
import type { Kernels } from "../../kernels/kernels.ts";
import { type BalancedGradient, createBalancedGradient } from "./balanced-gradient.ts";
import type { EntropicProblem, EntropicSolution } from "./entropic-problem.ts";
import { createSinkhorn } from "./sinkhorn.ts";
import { createSinkhornGradient, type SinkhornGradient } from "./sinkhorn-gradient.ts";
import { createSinkhornNewtonSparse } from "./sinkhorn-newton-sparse.ts";

/** The options of {@link createEntropicSolver}, spread into the schemas of the routers that use it. */
export function entropicFields(defaults: { maxIterations: number }) {
  return {
    solver: z
      .enum(["sinkhorn", "sns"])
      .default("sinkhorn")
      .describe(
        "How the plan is found: alternating row and column scaling, or Sinkhorn–Newton–Sparse, which needs far fewer iterations where epsilon is small. Both find the same plan.",
      ),
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
      .describe(
        "Most column updates, with sns also Newton steps, per batch; 0 leaves the plan at the rows' softmax of logits / epsilon.",
      ),
    tolerance: z
      .number()
      .nonnegative()
      .default(1e-4)
      .describe("Stop when ‖Pᵀ1 − T/E‖₁ / T is at most this, measured with exact rows."),
  };
}

const entropicOptions = z.strictObject(entropicFields({ maxIterations: 100 }));

export type EntropicOptions = z.infer<typeof entropicOptions>;

/** Solves problems of one size with buffers allocated once. */
export interface EntropicSolver {
  solve(problem: EntropicProblem): EntropicSolution;
  /** Writes the plan `[tokens × experts]` of the problem solved last, rows that sum to 1. */
  writePlan(problem: EntropicProblem, plan: Float32Array): void;
  /**
   * Adds to `logitGradient` `[tokens × experts]` what `potentialGradient` `[experts]`, ∂loss/∂g of the problem solved
   * last, comes to at its logits through g. Of a plan that sweeps led to, converged or not, it is the derivative of
   * these sweeps (`sinkhorn-gradient.ts`), as many as were made; of one that Newton steps led to, that of the balanced
   * plan (`balanced-gradient.ts`). `potentialGradient` sums to 0, since a constant added to g changes no plan, and is
   * overwritten. Buffers are allocated at the first call.
   */
  backward(problem: EntropicProblem, potentialGradient: Float64Array, logitGradient: Float32Array): void;
}

const methods = { sinkhorn: createSinkhorn, sns: createSinkhornNewtonSparse };

/**
 * The entropic plan by the method that `solver` names; either reaches the same one within the tolerance.
 *
 * @param tokens the most tokens of a problem
 */
export function createEntropicSolver(
  kernels: Kernels,
  tokens: number,
  experts: number,
  options: EntropicOptions,
): EntropicSolver {
  const { solver, epsilon } = options;
  const method = methods[solver](kernels, tokens, experts, options);
  let sinkhornGradient: SinkhornGradient | undefined;
  let balancedGradient: BalancedGradient | undefined;
  let sweeps: number | null = null;
  return {
    solve(problem) {
      const solution = method.solve(problem);
      sweeps = solution.sweeps;
      return solution;
    },
    writePlan({ logits, tokens: rows }, plan) {
      kernels.entropicPlan(logits, method.columnPotential, epsilon, rows, experts, plan);
    },
    backward(problem, potentialGradient, logitGradient) {
      if (sweeps === null) {
        balancedGradient ??= createBalancedGradient(kernels, tokens, experts, epsilon);
        balancedGradient.add(problem, method.columnPotential, potentialGradient, logitGradient);
      } else {
        sinkhornGradient ??= createSinkhornGradient(kernels, tokens, experts, epsilon);
        sinkhornGradient.add(problem, sweeps, potentialGradient, logitGradient);
      }
    },
  };
}
