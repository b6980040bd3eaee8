import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createColumnCosts } from "../../../../src/core/transport/sparse/column-costs.ts";
import {
  createColumnSelector,
  kthLargest,
  simplexThreshold,
} from "../../../../src/core/transport/sparse/column-selection.ts";
import { randomLogits } from "../../../support/random-logits.ts";

describe("kthLargest", () => {
  it("agrees with a full sort, ties included", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1, maxLength: 60 }),
        fc.nat(59),
        (values, n) => {
          const k = (n % values.length) + 1;
          expect(kthLargest(Float64Array.from(values), values.length, k)).toBe(
            [...values].sort((a, b) => b - a)[k - 1],
          );
        },
      ),
      { seed: 1 },
    );
  });
});

describe("simplexThreshold", () => {
  it("leaves exactly the mass asked for above the threshold", () => {
    const values = fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(values, fc.double({ min: 0.01, max: 50, noNaN: true }), (list, mass) => {
        const threshold = simplexThreshold(Float64Array.from(list), list.length, mass);
        const above = list.reduce((sum, value) => sum + Math.max(0, value - threshold), 0);
        // Rounding of sums of up to 40 numbers below 60.
        expect(Math.abs(above - mass)).toBeLessThan(1e-11);
      }),
      { seed: 1 },
    );
  });
});

describe("createColumnSelector", () => {
  it("selects what sorting the whole column selects, however α has moved since the last time", () => {
    const cases = fc.record({
      tokens: fc.integer({ min: 1, max: 60 }),
      k: fc.integer({ min: 1, max: 12 }),
      // Few different values make ties; small moves keep the shortlists, large ones do not.
      levels: fc.constantFrom(3, 1000),
      reach: fc.constantFrom(0.01, 0.3, 10),
      floor: fc.constantFrom(Number.NEGATIVE_INFINITY, 0, 1),
      seed: fc.nat(1000),
    });
    fc.assert(
      fc.property(cases, ({ tokens, k, levels, reach, floor, seed }) => {
        const experts = 2;
        const round = (value: number) => Math.round(levels * value) / levels;
        const most = Math.min(k, tokens);
        const costs = createColumnCosts(tokens, experts);
        costs.read(randomLogits(`costs ${seed}`, tokens, experts).map(round), tokens);
        const alpha = new Float64Array(tokens);
        const selector = createColumnSelector(costs, alpha);
        selector.reset();
        for (let move = 0; move < 12; move++) {
          randomLogits(`move ${move} ${seed}`, tokens, 1, reach).forEach((step, t) => {
            alpha[t] += round(step);
          });
          selector.follow();
          for (let e = 0; e < experts; e++) {
            const expected = Array.from(alpha, (value, t) => ({ t, value: value - costs.cost[e * tokens + t] }))
              .filter(({ value }) => value > floor)
              .sort((a, b) => b.value - a.value || a.t - b.t)
              .slice(0, most)
              .sort((a, b) => a.t - b.t);
            const count = selector.select(e, most, floor);
            const { token, value } = selector.selection;
            expect(Array.from(token.subarray(0, count))).toEqual(expected.map(({ t }) => t));
            expect(Array.from(value.subarray(0, count))).toEqual(expected.map((entry) => entry.value));
          }
        }
      }),
      { seed: 5, numRuns: 150 },
    );
  });
});
