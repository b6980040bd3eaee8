import { z } from "zod";
import type { Kernels } from "../../kernels/kernels.ts";
import { type BalancedGradient, createBalancedGradient } from "./balanced-gradient.ts";
import type { EntropicProblem, EntropicSolution } from "./entropic-problem.ts";
import { createSinkhorn } from "./sinkhorn.ts";
import { createSinkhornGradient, type SinkhornGradient } from "./sinkhorn-gradient.ts";
import { createSinkhornNewtonSparse } from "./sinkhorn-newton-sparse.ts";

/**
 * The options of {@link createEntropicSolver}, spread into the schemas of the routers that use it. `unit` names what the
 * plan maximises.
 */
export function entropicFields(defaults: { epsilon: number; unit: string; maxIterations: number }) {
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
      .default(defaults.epsilon)
      .describe(
        `Weight ε of the entropy, in units of ${defaults.unit}; the smaller, the closer each token's row is to one expert.`,
      ),
    maxIterations: z
      .number()
      .int()
      .nonnegative()
      .default(defaults.maxIterations)
      .describe(
        `Most column updates, with sns also Newton steps, per batch; 0 leaves the plan at the rows' softmax of ${defaults.unit} / epsilon.`,
      ),
    tolerance: z
      .number()
      .nonnegative()
      .default(1e-4)
      .describe("Stop when ‖Pᵀ1 − T/E‖₁ / T is at most this, measured with exact rows."),
  };
}

const entropicOptions = z.strictObject(entropicFields({ epsilon: 1, unit: "the logits", maxIterations: 100 }));

export type EntropicOptions = z.infer<typeof entropicOptions>;

/** Solves problems of one size with buffers allocated once. */
export interface EntropicSolver {
  solve(problem: EntropicProblem): EntropicSolution;
  /** Writes the plan `[tokens × experts]` of the problem solved last, rows that sum to 1. */
  writePlan(problem: EntropicProblem, plan: Float32Array): void;
  /**
   * Propagates `potentialGradient` `[experts]`, ∂loss/∂g of the last problem, to its logits: adds to `logitGradient`
   * `[tokens × experts]`. If sweeps computed the plan, converged or not, this differentiates exactly these sweeps
   * (`sinkhorn-gradient.ts`); if Newton steps did, the balanced plan (`balanced-gradient.ts`). `potentialGradient` must sum
   * to 0, since a constant added to g changes no plan, and is overwritten. Buffers are allocated at the first call.
   */
  backward(problem: EntropicProblem, potentialGradient: Float64Array, logitGradient: Float32Array): void;
}

const methods = { sinkhorn: createSinkhorn, sns: createSinkhornNewtonSparse };

/**
 * The entropic plan by the method that `solver` names. Both reach the same plan, within the tolerance.
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
  let ownRows: Float32Array | undefined;
  let rowOf = new Int32Array(0);

  /** `problem` without rows of −∞, which would make the column sums NaN. */
  function withEntries(problem: EntropicProblem): EntropicProblem {
    if (!problem.hasDisabled) return problem;
    ownRows ??= kernels.allocateFloat32(tokens * experts);
    if (rowOf.length < tokens) rowOf = new Int32Array(tokens);
    let rows = 0;
    for (let t = 0; t < problem.tokens; t++) {
      const row = problem.logits.subarray(t * experts, (t + 1) * experts);
      if (row.every((logit) => logit === Number.NEGATIVE_INFINITY)) continue;
      ownRows.set(row, rows * experts);
      rowOf[rows] = t;
      rows += 1;
    }
    return { logits: ownRows, tokens: rows, hasDisabled: true };
  }

  /** Adds the gradient of `problem` to the rows of `logitGradient` that its rows were taken from. */
  function addToRows(logitGradient: Float32Array, rows: number, add: (own: Float32Array) => void): void {
    const own = new Float32Array(rows * experts);
    add(own);
    for (let row = 0; row < rows; row++) {
      for (let e = 0; e < experts; e++) logitGradient[rowOf[row] * experts + e] += own[row * experts + e];
    }
  }

  function addGradient(problem: EntropicProblem, potentialGradient: Float64Array, logitGradient: Float32Array): void {
    if (sweeps === null) {
      balancedGradient ??= createBalancedGradient(kernels, tokens, experts, epsilon);
      balancedGradient.add(problem, method.columnPotential, potentialGradient, logitGradient);
    } else {
      sinkhornGradient ??= createSinkhornGradient(kernels, tokens, experts, epsilon);
      sinkhornGradient.add(problem, sweeps, potentialGradient, logitGradient);
    }
  }

  return {
    solve(given) {
      const problem = withEntries(given);
      if (problem.tokens === 0) {
        const { columnPotential } = method;
        columnPotential.fill(0);
        sweeps = 0;
        return { columnPotential, potentialError: 0, iterations: 0, sweeps, marginalError: 0, converged: true };
      }
      const solution = method.solve(problem);
      sweeps = solution.sweeps;
      return solution;
    },
    writePlan({ logits, tokens: rows, hasDisabled }, plan) {
      kernels.entropicPlan(logits, method.columnPotential, epsilon, rows, experts, plan);
      if (!hasDisabled) return;
      // The kernel writes NaN for a row of −∞.
      for (let entry = 0; entry < rows * experts; entry++) {
        if (logits[entry] === Number.NEGATIVE_INFINITY) plan[entry] = 0;
      }
    },
    backward(given, potentialGradient, logitGradient) {
      const problem = withEntries(given);
      if (problem === given) addGradient(problem, potentialGradient, logitGradient);
      else if (problem.tokens > 0) {
        addToRows(logitGradient, problem.tokens, (own) => addGradient(problem, potentialGradient, own));
      }
    },
  };
}
