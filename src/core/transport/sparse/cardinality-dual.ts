import { betaScale, type Potentials } from "../entropic/potentials.ts";
import type { ColumnCosts } from "./column-costs.ts";
import { type ColumnSelector, simplexThreshold } from "./column-selection.ts";
import type { SparsePlan } from "./sparse-plan.ts";

/** The concave function that L-BFGS climbs, and the plan of its gradient. */
export interface CardinalityDual {
  /** How many variables there are for the tokens of the current problem. */
  dimension(): number;
  /**
   * Writes variables to start from: α_t such that row t alone, at β = 0, would have mass 1, and in the dual the best β
   * for these α.
   */
  writeStart(x: Float64Array, k: number): void;
  /** Writes the variables at which α and β are 0 for the costs as they were given. */
  writeZero(x: Float64Array): void;
  /** Minus the value at the variables `x`, with minus a supergradient; k ≥ 1. Leaves α and β in the potentials. */
  negativeValue(x: Float64Array, gradient: Float64Array, k: number): number;
  /** Writes the plan of the potentials, the columns p below. Sets β in the semi-dual. */
  writePlan(plan: SparsePlan, k: number): void;
  /** The semi-dual at α, at least the dual there, of the costs as they were given: no plan has a lower primal value. */
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
 * By definition of β_e = −τ, the threshold of the projection, both are Σα + b·Σβ − Σ_e ‖γ·p_e‖²/(2γ): the semi-dual is
 * the dual at its best β. The gradient is by how much the rows of P exceed 1, and in the dual the columns T/E. Neither
 * function is differentiable where the k-th and the next largest entry of a column tie with mass.
 */
export function createCardinalityDual(
  costs: ColumnCosts,
  potentials: Potentials,
  selector: ColumnSelector,
  formulation: "dual" | "semi-dual",
  gamma: number,
): CardinalityDual {
  const { cost, experts } = costs;
  const { alpha, beta, read, write } = potentials;
  const { token, value, scratch } = selector.selection;
  const row = new Float64Array(experts);

  /** The best β_e for column e, of whose α − c_e the `count` = k largest are selected: it makes them sum to b. */
  function bestPrice(count: number): number {
    for (let i = 0; i < count; i++) scratch[i] = value[i];
    return -simplexThreshold(scratch, count, (gamma * costs.tokens) / experts);
  }

  /** Selects column e's tokens with their values γ·p > 0; sets β_e in the semi-dual; returns how many there are. */
  function selectTransport(e: number, k: number): number {
    if (formulation === "dual") {
      const count = selector.select(e, k, -beta[e]);
      for (let i = 0; i < count; i++) value[i] += beta[e];
      return count;
    }
    const count = selector.select(e, k, Number.NEGATIVE_INFINITY);
    beta[e] = bestPrice(count);
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const transported = value[i] + beta[e];
      if (transported <= 0) continue;
      token[kept] = token[i];
      value[kept++] = transported;
    }
    return kept;
  }

  return {
    dimension: () => (formulation === "dual" ? costs.tokens + experts : costs.tokens),
    writeStart(x, k) {
      const { tokens } = costs;
      for (let t = 0; t < tokens; t++) {
        for (let e = 0; e < experts; e++) row[e] = -cost[e * tokens + t];
        alpha[t] = -simplexThreshold(row, experts, gamma);
      }
      selector.reset();
      if (formulation === "dual") {
        for (let e = 0; e < experts; e++) beta[e] = bestPrice(selector.select(e, k, Number.NEGATIVE_INFINITY));
      }
      write(x, tokens);
    },
    writeZero(x) {
      const { tokens } = costs;
      for (let t = 0; t < tokens; t++) alpha[t] = -costs.rowCost[t];
      beta.fill(0);
      selector.reset();
      write(x, tokens);
    },
    negativeValue(x, gradient, k) {
      const { tokens } = costs;
      const target = tokens / experts;
      const scale = betaScale(tokens, experts);
      read(x, tokens);
      selector.follow();
      let negative = 0;
      gradient.fill(-1, 0, tokens);
      for (let t = 0; t < tokens; t++) negative -= alpha[t];
      for (let e = 0; e < experts; e++) {
        const count = selectTransport(e, k);
        let squares = 0;
        let sum = 0;
        for (let i = 0; i < count; i++) {
          squares += value[i] * value[i];
          sum += value[i];
          gradient[token[i]] += value[i] / gamma;
        }
        negative += squares / (2 * gamma) - target * beta[e];
        if (formulation === "dual") gradient[tokens + e] = (sum / gamma - target) / scale;
      }
      return negative;
    },
    writePlan(plan, k) {
      let entries = 0;
      for (let e = 0; e < experts; e++) {
        const count = selectTransport(e, k);
        for (let i = 0; i < count; i++) {
          plan.token[entries] = token[i];
          plan.mass[entries++] = value[i] / gamma;
        }
        plan.columnStart[e + 1] = entries;
      }
    },
    bound(k) {
      const { tokens } = costs;
      let sum = 0;
      for (let t = 0; t < tokens; t++) sum += alpha[t] + costs.rowCost[t];
      for (let e = 0; e < experts; e++) {
        const count = selector.select(e, k, Number.NEGATIVE_INFINITY);
        const price = bestPrice(count);
        let squares = 0;
        for (let i = 0; i < count; i++) squares += Math.max(0, value[i] + price) ** 2;
        sum += (tokens / experts) * price - squares / (2 * gamma);
      }
      return sum;
    },
  };
}
