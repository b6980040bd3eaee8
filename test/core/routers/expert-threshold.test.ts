import { describe, expect, it } from "vitest";
import { backends } from "../../support/backends.ts";
import { affinities, largestDifference, type Matrix, normalised, toMatrix } from "../../support/plain.ts";
import { skewedLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest } from "../../support/router-under-test.ts";

const shape = { tokens: 40, experts: 6, topK: 2, capacityFactor: 1 };
const batches = Array.from({ length: 30 }, (_, step) =>
  skewedLogits(`threshold ${step}`, step === 29 ? 17 : shape.tokens, shape.experts, 1.5),
);
const rows = batches.map((batch) => toMatrix(batch, batch.length / shape.experts, shape.experts));

/** The experts above their thresholds, written from the rule; the first batch by its own quantiles. */
function twin(decay: number): Matrix[] {
  let threshold: number[] | undefined;
  return rows.map((batch) => {
    const affinity = affinities(batch, "softmax");
    const rank = Math.floor((batch.length * shape.topK) / shape.experts) + 1;
    const quantile = affinity[0].map((_, e) => affinity.map((row) => row[e]).sort((a, b) => b - a)[rank - 1]);
    const present = threshold ?? quantile;
    threshold = threshold?.map((value, e) => decay * value + (1 - decay) * quantile[e]) ?? quantile;
    return affinity.map((row) => [...row.keys()].filter((e) => row[e] > present[e]));
  });
}

describe.each(backends)("expert-threshold on $backend kernels", (kernels) => {
  it.each([0.9, 0, 0.5])("takes the tokens above an exponential mean of the quantiles, decay %f", (decay) => {
    const expected = twin(decay);
    const { route } = createRouterUnderTest("expert-threshold", shape, { options: { decay }, kernels });
    batches.forEach((batch, step) => {
      const { expert, gate, load } = route(batch);
      expect(expert.map((row) => row.filter((e) => e >= 0))).toEqual(expected[step]);
      expect(load.reduce((a, b) => a + b)).toBe(expected[step].flat().length);
      const affinity = affinities(rows[step], "softmax");
      const gates = expert.map((row, t) => row.map((e) => (e < 0 ? 0 : affinity[t][e])));
      expect(largestDifference(gate, gates)).toBeLessThan(2e-6);
    });
  });

  it("gives each expert T·K/E tokens of the first batch", () => {
    const { route } = createRouterUnderTest("expert-threshold", { ...shape, tokens: 60 }, { kernels });
    expect(route(skewedLogits("first", 60, 6, 1.5)).load).toEqual(new Array(6).fill(20));
  });

  it("gives tokens fewer and more than K experts, and gates that sum to 1 when renormalised", () => {
    const options = { renormalize: true, gateScale: 2.5 };
    const { route } = createRouterUnderTest("expert-threshold", shape, { kernels, options });
    const counts = new Set<number>();
    batches.forEach((batch, step) => {
      const { expert, gate } = route(batch);
      const affinity = affinities(rows[step], "softmax");
      expert.forEach((row, t) => {
        const own = row.filter((e) => e >= 0);
        counts.add(own.length);
        if (own.length === 0) return;
        const expected = normalised(own.map((e) => affinity[t][e])).map((weight) => 2.5 * weight);
        expect(largestDifference([gate[t].slice(0, own.length)], [expected])).toBeLessThan(5e-6);
      });
    });
    expect(Math.min(...counts)).toBeLessThan(2);
    expect(Math.max(...counts)).toBeGreaterThan(2);
  });

  it.each([0.9, 0.7, 0.3])("takes no token at a threshold that equal batches settle, decay %f", (decay) => {
    const { route } = createRouterUnderTest(
      "expert-threshold",
      { ...shape, tokens: 60 },
      { kernels, options: { decay } },
    );
    const logits = skewedLogits("settled", 60, 6, 1.5);
    // The token at the threshold of each expert is not above it, whatever the rounding of the mean.
    for (let step = 0; step < 8; step++) expect(route(logits).load).toEqual(new Array(6).fill(20));
  });

  it("takes every token where every token is to have every expert", () => {
    const all = { tokens: 5, experts: 3, topK: 3, capacityFactor: 1 };
    const { route } = createRouterUnderTest("expert-threshold", all, { kernels });
    for (let step = 0; step < 3; step++) expect(route(skewedLogits(`all ${step}`, 5, 3, 1)).load).toEqual([5, 5, 5]);
  });

  it("takes no token that the expert is disabled for, and all others of too few", () => {
    const square = { tokens: 6, experts: 3, topK: 1, capacityFactor: 1 };
    const { route } = createRouterUnderTest("expert-threshold", square, { kernels, scores: "logits" });
    const logits = skewedLogits("few", 6, 3, 1).map((z, i) => (i % 3 === 1 && i > 3 ? -Infinity : z));
    const { load, expert } = route(logits);
    // T·K/E is 2, and token 0 alone can have expert 1.
    expect(load).toEqual([2, 1, 2]);
    expect(expert.slice(1).flat()).not.toContain(1);
  });
});
