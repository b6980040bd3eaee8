import type { Kernels } from "../../kernels/kernels.ts";
import { betaScale, type Potentials } from "../entropic/potentials.ts";
import type { ColumnCosts } from "./column-costs.ts";
import type { SparsePlan } from "./sparse-plan.ts";

/** The concave function that L-BFGS maximises, and the plan that follows from its gradient. */
export interface CardinalityDual {
  /** Number of variables for the tokens of the current problem. */
  dimension(): number;
  /**
   * Writes the variables to start from: α_t that gives row t mass 1 at β = 0, and, for the dual, the best β for these
   * α.
   */
  writeStart(x: Float64Array, k: number): void;
  /** Writes the variables for the α in the potentials; the dual also sets and writes the best β for them. */
  writeBest(x: Float64Array, k: number): void;
  /** Writes the variables for which α and β are 0 with the original costs. */
  writeZero(x: Float64Array): void;
  /** Returns minus the value at the variables `x`, and minus a supergradient; k ≥ 1. Sets α and β in the potentials. */
  negativeValue(x: Float64Array, gradient: Float64Array, k: number): number;
  /** Share of the columns with k tokens with mass at the last `negativeValue`, in [0, 1]. */
  bindingShare(k: number): number;
  /** Writes the plan at the potentials, the columns p below. The semi-dual sets β. */
  writePlan(plan: SparsePlan, k: number): void;
  /** Semi-dual at α with the original costs, at least the dual there: no plan has a lower primal value. */
  bound(k: number): number;
}

/**
 * The dual functions of transport with at most k non-zeros a column (Liu, Puigcerver & Blondel 2022, arXiv 2209.15466),
 * with s_e = α − c_e and top_k the k largest entries, ties to the lower token:
 *
 *     semi-dual   Σ_t α_t − Σ_e Ω*_b(s_e)                                                   b = T/E
 *                 Ω*_b(s) = ⟨s, p⟩ − (γ/2)‖p‖²,  p = projection of top_k(s)/γ on the simplex of mass b    (eq. 10, 12)
 *     dual        Σ_t α_t + b·Σ_e β_e − Σ_e Ω*_+(s_e + β_e)
 *                 Ω*_+(s) = Σ top_k([s]_+²)/(2γ),  p = top_k([s]_+)/γ                                     (eq. 9, 11)
 *
 * With β_e = −τ, the threshold of the projection, both are Σα + b·Σβ − Σ_e ‖γ·p_e‖²/(2γ), so the semi-dual is the dual at
 * its best β. The gradient is how far the rows of P fall short of 1 and, in the dual, the columns of T/E. Neither function
 * is differentiable where the k-th and the next largest entry of a column tie and have mass. An evaluation is one call of
 * the kernel `sparseColumns`.
 *
 * @param mostEntries largest k of a problem, times experts
 */
export function createCardinalityDual(
  kernels: Kernels,
  costs: ColumnCosts,
  potentials: Potentials,
  formulation: "dual" | "semi-dual",
  gamma: number,
  mostEntries: number,
): CardinalityDual {
  const { cost, experts } = costs;
  const { alpha, beta, read, write } = potentials;
  const near = kernels.allocateFloat64(2 * experts);
  const count = kernels.allocateInt32(experts);
  const token = kernels.allocateInt32(mostEntries);
  const mass = kernels.allocateFloat64(mostEntries);
  const slackSum = kernels.allocateFloat64(experts);
  const slackSquares = kernels.allocateFloat64(experts);
  const rowSum = kernels.allocateFloat64(alpha.length);
  const bestBeta = kernels.allocateFloat64(experts);

  /** Writes the columns p at α and the given prices, or at the best ones, which it writes too; adds p to `rowSum`. */
  function selectTransport(k: number, prices: Float64Array, takesBest: boolean): void {
    const { tokens } = costs;
    const columnMass = takesBest ? tokens / experts : null;
    kernels.sparseColumns(
      cost,
      alpha,
      prices,
      columnMass,
      gamma,
      tokens,
      experts,
      k,
      near,
      count,
      token,
      mass,
      slackSum,
      slackSquares,
      rowSum,
    );
  }

  /** Writes the α that gives each row mass 1 at β = 0. */
  function writeRowPrices(): void {
    const { affinity, rowCost, tokens } = costs;
    kernels.rowThresholds(affinity, rowCost, gamma, tokens, experts, alpha);
    for (let t = 0; t < tokens; t++) alpha[t] = -alpha[t];
  }

  function writeBest(x: Float64Array, k: number): void {
    near.fill(Number.NaN);
    selectTransport(k, beta, true);
    write(x, costs.tokens);
  }

  return {
    dimension: () => (formulation === "dual" ? costs.tokens + experts : costs.tokens),
    writeStart(x, k) {
      writeRowPrices();
      writeBest(x, k);
    },
    writeBest,
    writeZero(x) {
      const { tokens } = costs;
      for (let t = 0; t < tokens; t++) alpha[t] = -costs.rowCost[t];
      beta.fill(0);
      near.fill(Number.NaN);
      write(x, tokens);
    },
    negativeValue(x, gradient, k) {
      const { tokens } = costs;
      const target = tokens / experts;
      const scale = betaScale(tokens, experts);
      read(x, tokens);
      let negative = 0;
      rowSum.fill(-1, 0, tokens);
      for (let t = 0; t < tokens; t++) negative -= alpha[t];
      selectTransport(k, beta, formulation === "semi-dual");
      for (let t = 0; t < tokens; t++) gradient[t] = rowSum[t];
      for (let e = 0; e < experts; e++) {
        negative += slackSquares[e] / (2 * gamma) - target * beta[e];
        if (formulation === "dual") gradient[tokens + e] = (slackSum[e] / gamma - target) / scale;
      }
      return negative;
    },
    bindingShare: (k) => count.reduce((full, tokens) => full + (tokens === k ? 1 : 0), 0) / experts,
    writePlan(plan, k) {
      selectTransport(k, beta, formulation === "semi-dual");
      let entries = 0;
      for (let e = 0; e < experts; e++) {
        for (let i = e * k; i < e * k + count[e]; i++) {
          plan.token[entries] = token[i];
          plan.mass[entries++] = mass[i];
        }
        plan.columnStart[e + 1] = entries;
      }
    },
    bound(k) {
      const { tokens } = costs;
      let sum = 0;
      for (let t = 0; t < tokens; t++) sum += alpha[t] + costs.rowCost[t];
      selectTransport(k, bestBeta, true);
      for (let e = 0; e < experts; e++) sum += (tokens / experts) * bestBeta[e] - slackSquares[e] / (2 * gamma);
      return sum;
    },
  };
}
