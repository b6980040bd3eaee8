import type { Kernels } from "../../kernels/kernels.ts";
import type { SmoothFunction } from "../optimise/newton.ts";
import type { EntropicProblem } from "./entropic-problem.ts";
import { countActive } from "./sinkhorn.ts";

/** The dual function of the entropic plan, of column potentials g `[experts]` in units of ε. */
export interface EntropicDual extends SmoothFunction {
  /** Sets the problem for the other functions. */
  use(problem: EntropicProblem, epsilon: number): void;
  /** Writes Sinkhorn's column update of the last evaluated point into `x`. */
  balanceColumns(x: Float64Array): void;
}

// Entries of the plan below this fraction of 1/E, per unit of marginal error, are left out of the Hessian.
const droppedShare = 0.01;

/**
 * With the row potentials eliminated the negative dual, divided by T, is
 *
 *     F(g) = (1/T)·Σ_t log Σ_e exp(Z_te/ε + g_e) − (1/E)·Σ_e g_e
 *     ∇F   = Pᵀ1/T − 1/E                 so that ‖∇F‖₁ is the marginal error
 *     ∇²F  = (diag(Pᵀ1) − PᵀP) / T
 *
 * convex, and constant along 1. The Hessian uses the entries of the plan above 0.01·min(1, ‖∇F‖₁)/E: nearly uniform rows
 * keep all entries, peaked rows a few. The rest, at most a hundredth of ‖∇F‖₁ in each row, vanishes at the minimum, so
 * Newton's method converges as fast as with the whole Hessian. `hessian` is at the last evaluated point.
 *
 * @param tokens the most tokens of a problem
 * @param columnPotential in the memory of `kernels`; holds the last evaluated point, shifted along 1 so that its largest
 * entry is 0
 */
export function createEntropicDual(
  kernels: Kernels,
  tokens: number,
  experts: number,
  columnPotential: Float64Array,
): EntropicDual {
  const rowLogSum = kernels.allocateFloat64(tokens);
  const logColumnSum = kernels.allocateFloat64(experts);
  const sparsified = kernels.allocateFloat64(experts * experts);
  let problem: EntropicProblem;
  let epsilon: number;
  let gradientNorm: number;
  /** Experts that have entries. */
  let active = experts;
  const isActive = (e: number) => logColumnSum[e] > Number.NEGATIVE_INFINITY;

  return {
    use(next, nextEpsilon) {
      problem = next;
      epsilon = nextEpsilon;
    },
    evaluate(x, gradient) {
      let largest = Number.NEGATIVE_INFINITY;
      for (let e = 0; e < experts; e++) largest = Math.max(largest, x[e]);
      for (let e = 0; e < experts; e++) columnPotential[e] = x[e] - largest;
      const rows = problem.tokens;
      kernels.logSinkhornSweep(problem.logits, epsilon, columnPotential, rows, experts, rowLogSum, logColumnSum);
      active = countActive(logColumnSum);
      let rowSum = 0;
      let columnSum = 0;
      gradientNorm = 0;
      for (let t = 0; t < rows; t++) rowSum += rowLogSum[t];
      for (let e = 0; e < experts; e++) {
        if (isActive(e)) columnSum += columnPotential[e];
        gradient[e] = isActive(e) ? Math.exp(logColumnSum[e]) / rows - 1 / active : 0;
        gradientNorm += Math.abs(gradient[e]);
      }
      return rowSum / rows - columnSum / active;
    },
    hessian(_x, out) {
      const rows = problem.tokens;
      const threshold = (droppedShare * Math.min(1, gradientNorm)) / experts;
      kernels.entropicHessian(
        problem.logits,
        epsilon,
        columnPotential,
        rowLogSum,
        threshold,
        rows,
        experts,
        sparsified,
      );
      for (let entry = 0; entry < sparsified.length; entry++) out[entry] = sparsified[entry] / rows;
    },
    balanceColumns(x) {
      const logTarget = Math.log(problem.tokens / active);
      for (let e = 0; e < experts; e++) x[e] = isActive(e) ? columnPotential[e] + logTarget - logColumnSum[e] : 0;
    },
  };
}
