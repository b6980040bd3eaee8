import type { Kernels } from "../../kernels/kernels.ts";
import { createConjugateGradient } from "../optimise/conjugate-gradient.ts";
import { createColumnSumGradient } from "./column-sum-gradient.ts";
import type { EntropicProblem } from "./entropic-problem.ts";

/** Differentiates the column potential at which the entropic plan's columns sum to T/E, however it was found. */
export interface BalancedGradient {
  /**
   * Adds ∂loss/∂Z to `logitGradient` `[tokens × experts]`, given `potentialGradient` `[experts]`, ∂loss/∂g at the balanced
   * `columnPotential` `[experts]` in the kernels' memory. `potentialGradient` sums to 0, because a constant added to g
   * changes no plan.
   */
  add(
    problem: EntropicProblem,
    columnPotential: Float64Array,
    potentialGradient: Float64Array,
    logitGradient: Float32Array,
  ): void;
}

// Tolerance for the residual of the linear system: well below the float32 rounding of the result.
const residual = 1e-10;

/**
 * Implicit differentiation. The plan is balanced where log s(g, Z) = log(T/E) for each expert, s = Pᵀ1, and stays so
 * when
 *
 *     J·dg = −(∂log s/∂Z)·dZ,    J = ∂log s/∂g = diag(s)⁻¹·H,    H = diag(s) − PᵀP     `[experts × experts]`
 *
 * so ∂loss/∂Z = (∂log s/∂Z)ᵀ·(−J⁻ᵀ·d) with d = ∂loss/∂g and J⁻ᵀ·d = diag(s)·H⁻¹·d, as if the loss depended on log s
 * through −s·(H⁻¹·d) (`column-sum-gradient.ts`). H is the full Hessian of the dual, singular only along 1, to which d is
 * orthogonal; conjugate gradients solve the system.
 *
 * The error is proportional to how far the columns are from T/E.
 *
 * @param tokens maximum tokens of a problem
 */
export function createBalancedGradient(
  kernels: Kernels,
  tokens: number,
  experts: number,
  epsilon: number,
): BalancedGradient {
  const columnSums = createColumnSumGradient(kernels, tokens, experts, epsilon);
  const linear = createConjugateGradient(experts);
  const rowLogSum = kernels.allocateFloat64(tokens);
  const logColumnSum = kernels.allocateFloat64(experts);
  const hessian = kernels.allocateFloat64(experts * experts);
  const diagonal = new Float64Array(experts);
  const solution = new Float64Array(experts);

  function product(vector: Float64Array, out: Float64Array): void {
    for (let row = 0; row < experts; row++) {
      let sum = 0;
      for (let e = 0; e < experts; e++) sum += hessian[row * experts + e] * vector[e];
      out[row] = sum;
    }
  }

  return {
    add(problem, columnPotential, potentialGradient, logitGradient) {
      const { logits, tokens: rows } = problem;
      kernels.logSinkhornSweep(logits, epsilon, columnPotential, rows, experts, rowLogSum, logColumnSum);
      kernels.entropicHessian(logits, epsilon, columnPotential, rowLogSum, 0, rows, experts, hessian);
      for (let e = 0; e < experts; e++) diagonal[e] = hessian[e * experts + e] + Number.MIN_VALUE;
      linear.solve(product, diagonal, potentialGradient, solution, residual, 4 * experts);
      for (let e = 0; e < experts; e++) solution[e] *= -Math.exp(logColumnSum[e]);
      columnSums.add(problem, columnPotential, solution, solution, logitGradient);
    },
  };
}
