import type { Kernels } from "../../kernels/kernels.ts";
import { createAdam } from "../optimise/adam.ts";
import { createLbfgs } from "../optimise/lbfgs.ts";
import type { SparsityConstrainedOptions } from "./sparsity-constrained.ts";

/**
 * min over P ≥ 0 of ⟨C, P⟩ + (γ/2)·‖P‖², C = −affinity, with P·1 = 1 for each of T tokens, Pᵀ·1 = T/E for each of E
 * experts, and at most K non-zeros in each row. T and E count the tokens and the experts with an affinity above −∞.
 */
export interface SparseRowsProblem {
  /** At least `tokens · experts` entries, row-major, in the kernels' memory; finite, or −∞ for pairs without mass. */
  readonly affinity: Float32Array;
  /** At most the tokens the solver was created for. */
  readonly tokens: number;
  /** Whether an affinity may be −∞; default false. */
  readonly hasDisabled?: boolean | undefined;
}

/** The arrays belong to the solver, and the next problem overwrites them. */
export interface SparseRowsSolution {
  /** `[tokens × topK]`, the K largest of each row of α + affinity, descending, ties to the lower index; −1 if none is left. */
  readonly expert: Int32Array;
  /** `[tokens × topK]`, the plan's entries at these experts; all others are 0. Rows sum to 1. */
  readonly mass: Float64Array;
  /** α `[experts]`, in the unit of the affinities, with mean 0: minus the price of an expert. */
  readonly potential: Float64Array;
  /** Steps of the solver. */
  readonly iterations: number;
  /** ‖Pᵀ·1 − T/E‖₁ / T of this plan, in [0, 2); rows have no error. */
  readonly marginalError: number;
  /** Whether `marginalError` is at most the tolerance. */
  readonly converged: boolean;
  /** ⟨C, P⟩ + (γ/2)·‖P‖² of this plan. */
  readonly primal: number;
  /** The semi-dual at α: a lower bound on the primal value of every feasible plan. */
  readonly dual: number;
  /**
   * `primal − dual` = ⟨α, Pᵀ·1 − T/E⟩. It is 0 if the plan keeps its marginals, which makes it the best one; otherwise it
   * bounds nothing and may be negative.
   */
  readonly dualityGap: number;
}

/** Options of both forms of sparsity. */
export type SparseRowsOptions = Omit<SparsityConstrainedOptions, "formulation">;

/** Solves problems of one size with buffers allocated once. */
export interface SparseRowsSolver {
  solve(problem: SparseRowsProblem): SparseRowsSolution;
}

/**
 * Sparsity-constrained optimal transport with sparse rows (Liu, Puigcerver & Blondel 2022, arXiv 2209.15466). L-BFGS or Adam
 * maximises its semi-dual, which has one variable per expert, from 0:
 *
 *     D(α) = (T/E)·Σ_e α_e − Σ_t Ω*(α + S_t),    ∂D/∂α_e = T/E − Σ_t p_te                             (eq. 10, 12)
 *     Ω*(s) = ⟨s, p⟩ − (γ/2)‖p‖²,  p = projection of top_K(s)/γ on the simplex of mass 1
 *
 * Each evaluation is a top-K step with the bias α. −α is a price per expert, like that of routers with a bias, and D
 * becomes their dual as γ grows: then p = 1/K, and K·D is the dual of K-fold assignment plus a constant.
 *
 * D is concave, but its gradient jumps where the K-th and the next largest value of a row tie. At a maximum with such ties
 * possibly no choice among them gives every column its share. L-BFGS then stops near the maximum, with columns that are off
 * by the masses of a few tokens, which counts as not converged. If K does not bind, D is smooth and L-BFGS meets the
 * tolerance.
 */
export function createSparseRowsSolver(
  kernels: Kernels,
  mostTokens: number,
  experts: number,
  topK: number,
  { solver, learningRate, gamma, maxIterations, tolerance }: SparseRowsOptions,
): SparseRowsSolver {
  const expert = kernels.allocateInt32(mostTokens * topK);
  const mass = kernels.allocateFloat64(mostTokens * topK);
  const potential = kernels.allocateFloat64(experts);
  const columnSum = kernels.allocateFloat64(experts);
  const target = new Float64Array(experts);
  const gradientScale = new Float64Array(experts);
  const variables = new Float64Array(experts);
  const gradient = new Float64Array(experts);
  const lbfgs = createLbfgs(experts);
  const adam = createAdam(experts);
  const stepScale = new Float64Array(experts).fill(1);

  /** Writes the columns' targets. Returns T, the number of tokens that can have an expert. */
  function writeTarget({ affinity, tokens, hasDisabled }: SparseRowsProblem): number {
    if (hasDisabled !== true) {
      target.fill(tokens / experts);
      gradientScale.fill(tokens / experts);
      return tokens;
    }
    target.fill(0);
    let open = 0;
    for (let t = 0; t < tokens; t++) {
      let isOpen = false;
      for (let e = 0; e < experts; e++) {
        if (affinity[t * experts + e] === Number.NEGATIVE_INFINITY) continue;
        isOpen = true;
        target[e] = 1;
      }
      if (isOpen) open += 1;
    }
    const enabled = target.reduce((sum, one) => sum + one, 0);
    for (let e = 0; e < experts; e++) target[e] *= open / enabled || 0;
    gradientScale.fill(enabled === 0 ? 1 : open / enabled);
    return open;
  }

  return {
    solve(problem) {
      const { affinity, tokens } = problem;
      const open = writeTarget(problem);
      /** −D, with its gradient; leaves the plan in `expert`, `mass` and `columnSum`. */
      function negativeValue(at: Float64Array, slope: Float64Array): number {
        potential.set(at);
        columnSum.fill(0);
        let negative = kernels.sparseRows(affinity, potential, gamma, tokens, experts, topK, expert, mass, columnSum);
        for (let e = 0; e < experts; e++) {
          negative -= potential[e] * target[e];
          slope[e] = columnSum[e] - target[e];
        }
        return negative;
      }

      const x = variables.fill(0);
      let iterations = maxIterations;
      if (solver === "adam") adam.minimize(negativeValue, x, stepScale, { maxIterations, learningRate });
      else ({ iterations } = lbfgs.minimize(negativeValue, x, gradientScale, { maxIterations, tolerance }));

      // A constant added to all potentials changes no row, and rounding is least around 0.
      let mean = 0;
      for (let e = 0; e < experts; e++) mean += x[e] / experts;
      for (let e = 0; e < experts; e++) x[e] -= mean;
      const dual = 0 - negativeValue(x, gradient);
      let error = 0;
      let dualityGap = 0;
      for (let e = 0; e < experts; e++) {
        error += Math.abs(gradient[e]);
        dualityGap += x[e] * gradient[e];
      }
      const marginalError = open === 0 ? 0 : error / open;
      const converged = marginalError <= tolerance;
      return {
        expert,
        mass,
        potential,
        iterations,
        marginalError,
        converged,
        primal: dual + dualityGap,
        dual,
        dualityGap,
      };
    },
  };
}
