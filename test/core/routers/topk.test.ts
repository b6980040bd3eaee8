import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { affinities, countLoad, largestDifference, largestIndices, normalised, toMatrix } from "../../support/plain.ts";
import { randomLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest } from "../../support/router-under-test.ts";

// Gates are float32: half a unit in the last place of numbers below 1, and the kernels' relative error of 1e-6.
const gateTolerance = 2e-6;

const shape = { tokens: 24, experts: 7, topK: 3, capacityFactor: 1 };
const logits = randomLogits("topk", shape.tokens, shape.experts, 2);
const rows = toMatrix(logits, shape.tokens, shape.experts);

describe("topk", () => {
  it.each(["softmax", "sigmoid"] as const)("selects the K largest %s affinities in descending order", (scores) => {
    const { expert, load } = createRouterUnderTest("topk", shape, { scores }).route(logits);
    const chosen = affinities(rows, scores).map((row) => largestIndices(row, shape.topK));
    expect(expert).toEqual(chosen);
    expect(load).toEqual(countLoad(chosen, shape.experts));
  });

  it.each(["softmax", "sigmoid"] as const)("gates by the selected %s affinities, divided by their sum", (scores) => {
    const { expert, gate } = createRouterUnderTest("topk", shape, { scores }).route(logits);
    const affinity = affinities(rows, scores);
    const expected = expert.map((row, token) => normalised(row.map((e) => affinity[token][e])));
    expect(largestDifference(gate, expected)).toBeLessThan(gateTolerance);
  });

  it.each(["softmax", "sigmoid"] as const)(
    "gates by the %s affinities themselves without renormalisation",
    (scores) => {
      const options = { renormalize: false };
      const { expert, gate } = createRouterUnderTest("topk", shape, { scores, options }).route(logits);
      const affinity = affinities(rows, scores);
      const expected = expert.map((row, token) => row.map((e) => affinity[token][e]));
      expect(largestDifference(gate, expected)).toBeLessThan(gateTolerance);
    },
  );

  it("knows the affinities of two logits in closed form", () => {
    const pair = { tokens: 1, experts: 2, topK: 2, capacityFactor: 1 };
    const { expert, gate } = createRouterUnderTest("topk", pair).route(Float32Array.of(0, Math.log(3)));
    expect(expert).toEqual([[1, 0]]);
    expect(largestDifference(gate, [[0.75, 0.25]])).toBeLessThan(gateTolerance);
  });

  it("keeps the order of logits whose affinities float32 cannot tell apart", () => {
    const wide = { tokens: 2, experts: 4, topK: 2, capacityFactor: 1 };
    const saturated = Float32Array.of(40, 41, 43, 42, -200, -199, -198, -201);
    const { expert } = createRouterUnderTest("topk", wide, { scores: "sigmoid" }).route(saturated);
    expect(expert).toEqual([
      [2, 3],
      [2, 1],
    ]);
  });

  it("breaks ties by the lowest index, wherever equal logits stand", () => {
    // Few different values, so that nearly every row has ties.
    const few = fc.array(fc.constantFrom(-1, 0, 0.5), { minLength: 12, maxLength: 12 });
    fc.assert(
      fc.property(few, fc.integer({ min: 1, max: 6 }), (values, topK) => {
        const tied = { tokens: 2, experts: 6, topK, capacityFactor: 1 };
        const { expert } = createRouterUnderTest("topk", tied).route(Float32Array.from(values));
        expect(expert).toEqual(toMatrix(values, 2, 6).map((row) => largestIndices(row, topK)));
      }),
      { seed: 1 },
    );
  });
});
