import type { Kernels } from "../../kernels/kernels.ts";
import type { EntropicProblem } from "./entropic-problem.ts";

/** Differentiates the column sums of plans with exact rows, P_te = softmax over e of (Z_te/ε + g_e). */
export interface ColumnSumGradient {
  /**
   * Adds ∂loss/∂Z to `logitGradient` `[tokens × experts]` and writes ∂loss/∂g to `potentialGradient` `[experts]`, which may
   * be `sumGradient`. `sumGradient` `[experts]` is ∂loss/∂log s_e, with s = Pᵀ1 at `columnPotential` g `[experts]`.
   */
  add(
    problem: EntropicProblem,
    columnPotential: Float64Array,
    sumGradient: Float64Array,
    potentialGradient: Float64Array,
    logitGradient: Float32Array,
  ): void;
}

/**
 * With Q_te = P_te / s_e, whose columns sum to 1, and r_t = Σ_e Q_te·sumGradient_e,
 *
 *     ∂ log s_e / ∂(Z_tf/ε + g_f) = Q_te·([e = f] − P_tf)        summed over t for g_f
 *     ∂loss/∂Z_te = (Q_te·sumGradient_e − P_te·r_t) / ε
 *     ∂loss/∂g_e  = sumGradient_e − Σ_t P_te·r_t
 *
 * Q is computed in float64 and in the log domain, so it is at most 1 and finite even if a whole column of P underflows.
 *
 * @param tokens maximum tokens of a problem
 */
export function createColumnSumGradient(
  kernels: Kernels,
  tokens: number,
  experts: number,
  epsilon: number,
): ColumnSumGradient {
  const potential = kernels.allocateFloat64(experts);
  const rowLogSum = kernels.allocateFloat64(tokens);
  const logColumnSum = kernels.allocateFloat64(experts);
  const columnSum = new Float64Array(experts);
  const share = new Float64Array(experts);
  const carried = new Float64Array(experts);

  return {
    add({ logits, tokens: rows }, columnPotential, sumGradient, potentialGradient, logitGradient) {
      potential.set(columnPotential);
      kernels.logSinkhornSweep(logits, epsilon, potential, rows, experts, rowLogSum, logColumnSum);
      for (let e = 0; e < experts; e++) {
        columnSum[e] = Math.exp(logColumnSum[e]);
        // An empty column has no sum to divide by.
        if (logColumnSum[e] > Number.NEGATIVE_INFINITY) potential[e] -= logColumnSum[e];
      }
      carried.fill(0);
      for (let t = 0; t < rows; t++) {
        const row = t * experts;
        let mean = 0;
        for (let e = 0; e < experts; e++) {
          share[e] = Math.exp(logits[row + e] / epsilon + potential[e] - rowLogSum[t]);
          mean += share[e] * sumGradient[e];
        }
        for (let e = 0; e < experts; e++) {
          const shared = share[e] * columnSum[e] * mean;
          carried[e] += shared;
          logitGradient[row + e] += (share[e] * sumGradient[e] - shared) / epsilon;
        }
      }
      for (let e = 0; e < experts; e++) potentialGradient[e] = sumGradient[e] - carried[e];
    },
  };
}
