import type { Kernels } from "../../kernels/kernels.ts";
import { createColumnSumGradient } from "./column-sum-gradient.ts";
import type { EntropicProblem } from "./entropic-problem.ts";
import { balanceColumns, countActive } from "./sinkhorn.ts";

/** Differentiates the column potential that Sinkhorn's sweeps compute. */
export interface SinkhornGradient {
  /**
   * Propagates `potentialGradient` `[experts]`, ∂loss/∂g after `sweeps` column updates from g = 0, to the logits: adds to
   * `logitGradient` `[tokens × experts]`. `potentialGradient` must sum to 0, since a constant added to g changes no plan, and
   * is overwritten.
   */
  add(problem: EntropicProblem, sweeps: number, potentialGradient: Float64Array, logitGradient: Float32Array): void;
}

/**
 * Reverse-mode differentiation through the sweeps. Forward, with P(g) the plan with exact rows,
 *
 *     g⁰ = 0;   s^i = P(g^i)ᵀ·1;   g^(i+1) = g^i + log(T/E) − log s^i        i = 0 … n − 1
 *
 * The constant that `sinkhorn.ts` adds to g changes no plan, and so no gradient. Backward from d^n = ∂loss/∂g^n,
 *
 *     ∂loss/∂log s^i = −d^(i+1)
 *     d^i            = d^(i+1) + (what log s^i passes on to g^i) = P(g^i)ᵀ·P(g^i)·(d^(i+1) / s^i)      i = n − 1 … 0
 *
 * and each log s^i passes its part on to Z (`column-sum-gradient.ts`). The sweeps are repeated in float64 to recover all
 * g^i `[sweeps × experts]`, which costs two sweeps and one pass over the plan for each.
 *
 * @param tokens the most tokens of a problem
 */
export function createSinkhornGradient(
  kernels: Kernels,
  tokens: number,
  experts: number,
  epsilon: number,
): SinkhornGradient {
  const columnSums = createColumnSumGradient(kernels, tokens, experts, epsilon);
  const potential = kernels.allocateFloat64(experts);
  const rowLogSum = kernels.allocateFloat64(tokens);
  const logColumnSum = kernels.allocateFloat64(experts);
  const sumGradient = new Float64Array(experts);
  let history = new Float64Array(0);

  /** Writes g^0 … g^(sweeps − 1) into the history. */
  function repeatSweeps({ logits, tokens: rows }: EntropicProblem, sweeps: number): void {
    if (history.length < sweeps * experts) history = new Float64Array(sweeps * experts);
    potential.fill(0);
    for (let sweep = 0; sweep < sweeps; sweep++) {
      history.set(potential, sweep * experts);
      if (sweep === sweeps - 1) return;
      kernels.logSinkhornSweep(logits, epsilon, potential, rows, experts, rowLogSum, logColumnSum);
      balanceColumns(potential, logColumnSum, Math.log(rows / countActive(logColumnSum)));
    }
  }

  return {
    add(problem, sweeps, potentialGradient, logitGradient) {
      repeatSweeps(problem, sweeps);
      for (let sweep = sweeps - 1; sweep >= 0; sweep--) {
        potential.set(history.subarray(sweep * experts, (sweep + 1) * experts));
        for (let e = 0; e < experts; e++) sumGradient[e] = -potentialGradient[e];
        columnSums.add(problem, potential, sumGradient, sumGradient, logitGradient);
        for (let e = 0; e < experts; e++) potentialGradient[e] += sumGradient[e];
      }
    },
  };
}
