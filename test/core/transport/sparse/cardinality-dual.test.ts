import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createKernels } from "../../../../src/core/kernels/index.ts";
import { createPotentials } from "../../../../src/core/transport/entropic/potentials.ts";
import { createCardinalityDual } from "../../../../src/core/transport/sparse/cardinality-dual.ts";
import { createColumnCosts } from "../../../../src/core/transport/sparse/column-costs.ts";
import { randomLogits } from "../../../support/random-logits.ts";

const kernels = createKernels();
const formulations = ["dual", "semi-dual"] as const;

/** The function, the costs it is of, and variables at which it is to be looked at. */
function arrange(
  formulation: "dual" | "semi-dual",
  tokens: number,
  experts: number,
  k: number,
  gamma: number,
  seed: string,
) {
  const costs = createColumnCosts(kernels, tokens, experts);
  costs.read(randomLogits(seed, tokens, experts), tokens);
  const potentials = createPotentials(kernels, tokens, experts);
  const dual = createCardinalityDual(kernels, costs, potentials, formulation, gamma, experts * k);
  const x = Float64Array.from(randomLogits(`${seed} x`, dual.dimension(), 1), (value) => 1 + value / 2);
  // Begins the search in each column; the variables themselves are not those of the start.
  dual.writeStart(new Float64Array(dual.dimension()), k);
  return { costs, potentials, dual, x };
}

/** All subsets of `size` of 0 … n − 1, as bit masks. */
function subsets(n: number, size: number): number[] {
  const bits = (mask: number) => mask.toString(2).replaceAll("0", "").length;
  return Array.from({ length: 2 ** n }, (_, mask) => mask).filter((mask) => bits(mask) === size);
}

describe.each(formulations)("the %s of sparsity-constrained transport", (formulation) => {
  it("has the conjugates that brute force over the supports of each column finds", () => {
    const [tokens, experts, gamma] = [7, 3, 0.4];
    const target = tokens / experts;
    for (const k of [1, 3, 4, 7]) {
      const { costs, potentials, dual, x } = arrange(formulation, tokens, experts, k, gamma, `conjugates ${k}`);
      const value = -dual.negativeValue(x, new Float64Array(x.length), k);
      const { alpha, beta } = potentials;
      let expected = alpha.reduce((sum, price) => sum + price, 0);
      for (let e = 0; e < experts; e++) {
        const values = Array.from(alpha, (price, t) => price - costs.cost[e * tokens + t]);
        const conjugates = subsets(tokens, k).map((mask) => {
          const inside = values.filter((_, t) => (mask >> t) & 1);
          if (formulation === "dual") {
            return inside.reduce((sum, s) => sum + Math.max(0, s + beta[e]) ** 2, 0) / (2 * gamma);
          }
          let [low, high] = [Math.min(...inside) - gamma * target, Math.max(...inside)];
          for (let halving = 0; halving < 80; halving++) {
            const middle = (low + high) / 2;
            const mass = inside.reduce((sum, s) => sum + Math.max(0, s - middle) / gamma, 0);
            if (mass > target) low = middle;
            else high = middle;
          }
          return inside.reduce((sum, s) => {
            const p = Math.max(0, s - low) / gamma;
            return sum + s * p - (gamma / 2) * p * p;
          }, 0);
        });
        expected -= Math.max(...conjugates) - (formulation === "dual" ? target * beta[e] : 0);
      }
      expect(value).toBeCloseTo(expected, 10);
    }
  });

  it("has the gradient of central differences wherever no two entries tie", () => {
    const cases = fc.record({
      tokens: fc.integer({ min: 2, max: 16 }),
      experts: fc.integer({ min: 1, max: 5 }),
      extra: fc.nat(8),
      gamma: fc.constantFrom(0.2, 1, 4),
      seed: fc.nat(1000),
    });
    let compared = 0;
    fc.assert(
      fc.property(cases, ({ tokens, experts, extra, gamma, seed }) => {
        const k = Math.min(tokens, Math.ceil(tokens / experts) + extra);
        const { dual, x } = arrange(formulation, tokens, experts, k, gamma, `gradient ${seed}`);
        const [gradient, above, below] = [0, 1, 2].map(() => new Float64Array(x.length));
        dual.negativeValue(x, gradient, k);
        const h = 1e-5;
        for (let i = 0; i < x.length; i++) {
          const at = x[i];
          x[i] = at + h;
          const forward = dual.negativeValue(x, above, k);
          x[i] = at - h;
          const backward = dual.negativeValue(x, below, k);
          x[i] = at;
          // The gradient is Lipschitz, with a constant below 2·T/γ here, save where the selection changes: a kink.
          const isSmooth = above.every((value, j) => Math.abs(value - below[j]) <= (2 * h * 2 * tokens) / gamma);
          if (!isSmooth) continue;
          compared += 1;
          // Rounding of values below 1e4 over 2h, and the second derivative's jump where an entry becomes 0, times h.
          expect(Math.abs((forward - backward) / (2 * h) - gradient[i])).toBeLessThan(1e-6 + (2 * h * tokens) / gamma);
        }
      }),
      { seed: 6, numRuns: 60 },
    );
    expect(compared).toBeGreaterThan(400);
  });

  it("is bounded by the value at the best β, which the semi-dual attains", () => {
    for (const seed of ["a", "b", "c", "d"]) {
      const { costs, dual, x } = arrange(formulation, 20, 4, 7, 0.5, seed);
      let value = -dual.negativeValue(x, new Float64Array(x.length), 7);
      for (const smallest of costs.rowCost) value += smallest;
      // Sums of about 100 numbers below 10.
      if (formulation === "dual") expect(dual.bound(7)).toBeGreaterThan(value + 1e-3);
      else expect(dual.bound(7)).toBeCloseTo(value, 10);
    }
  });
});
