import { betaScale, type Potentials } from "../entropic/potentials.ts";
import type { ColumnCosts } from "./column-costs.ts";
import type { SparsePlan } from "./sparse-plan.ts";

/** Smooth dual function of the quadratically regularised plan on a given support. */
export interface SupportDual {
  /** Sets the support that the other functions use; its tokens must not change. */
  use(support: SparsePlan): void;
  /** Returns minus the value at the variables `x` `[tokens + experts]`, and its gradient. Sets α and β in the potentials. */
  negativeValue(x: Float64Array, gradient: Float64Array): number;
  /** Writes the support's masses at the potentials. */
  writeMasses(): void;
}

/**
 * Σ_t α_t + (T/E)·Σ_e β_e − Σ_{(t,e) in the support} [α_t + β_e − C_te]_+² / (2γ), whose maximum has the masses
 * P_te = [α_t + β_e − C_te]_+ / γ (Blondel, Seguy & Rolet 2018, arXiv 1710.06276).
 *
 * @param mostEntries maximum entries of a support
 */
export function createSupportDual(
  costs: ColumnCosts,
  { alpha, beta, read }: Potentials,
  gamma: number,
  mostEntries: number,
): SupportDual {
  const { experts } = costs;
  const entryCost = new Float64Array(mostEntries);
  let support: SparsePlan;

  return {
    use(next) {
      support = next;
      const { columnStart, token } = support;
      for (let e = 0; e < experts; e++) {
        const column = e * costs.tokens;
        for (let i = columnStart[e]; i < columnStart[e + 1]; i++) entryCost[i] = costs.cost[column + token[i]];
      }
    },
    negativeValue(x, gradient) {
      const { tokens } = costs;
      const target = tokens / experts;
      const scale = betaScale(tokens, experts);
      const { columnStart, token } = support;
      read(x, tokens);
      let negative = 0;
      gradient.fill(-1, 0, tokens);
      for (let t = 0; t < tokens; t++) negative -= alpha[t];
      for (let e = 0; e < experts; e++) {
        const price = beta[e];
        let squares = 0;
        let sum = 0;
        for (let i = columnStart[e]; i < columnStart[e + 1]; i++) {
          const t = token[i];
          const slack = alpha[t] + price - entryCost[i];
          if (slack <= 0) continue;
          squares += slack * slack;
          sum += slack;
          gradient[t] += slack / gamma;
        }
        negative += squares / (2 * gamma) - target * price;
        gradient[tokens + e] = (sum / gamma - target) / scale;
      }
      return negative;
    },
    writeMasses() {
      const { columnStart, token, mass } = support;
      for (let e = 0; e < experts; e++) {
        for (let i = columnStart[e]; i < columnStart[e + 1]; i++) {
          mass[i] = Math.max(0, alpha[token[i]] + beta[e] - entryCost[i]) / gamma;
        }
      }
    },
  };
}
