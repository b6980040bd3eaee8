import { describe, expect, it } from "vitest";
import { maxVio } from "../../../src/core/metrics/load.ts";
import { backends } from "../../support/backends.ts";
import {
  affinities,
  columnError,
  countLoad,
  largestDifference,
  largestIndices,
  normalised,
  plainSinkhorn,
  sigmoid,
  toMatrix,
} from "../../support/plain.ts";
import { randomLogits, skewedLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest } from "../../support/router-under-test.ts";

const gateTolerance = 2e-6;

const shape = { tokens: 48, experts: 6, topK: 2, capacityFactor: 1 };
const logits = skewedLogits("sinkhorn", shape.tokens, shape.experts, 2);
const rows = toMatrix(logits, shape.tokens, shape.experts);
const fine = { tolerance: 1e-9, maxIterations: 5000 };

describe("sinkhorn", () => {
  it.each([0.5, 1, 2])("selects at ε = %d the K largest of each row of a dense float64 plan", (epsilon) => {
    const { expert, load } = createRouterUnderTest("sinkhorn", shape, { options: { ...fine, epsilon } }).route(logits);
    const chosen = plainSinkhorn(rows, epsilon, 3000).map((row) => largestIndices(row, shape.topK));
    expect(expert).toEqual(chosen);
    expect(load).toEqual(countLoad(chosen, shape.experts));
  });

  it.each(["softmax", "sigmoid"] as const)("gates by the %s affinities of the logits, not by the plan", (scores) => {
    for (const renormalize of [true, false]) {
      const options = { ...fine, renormalize };
      const { expert, gate } = createRouterUnderTest("sinkhorn", shape, { options, scores }).route(logits);
      const affinity = affinities(rows, scores);
      const selected = expert.map((row, token) => row.map((e) => affinity[token][e]));
      expect(largestDifference(gate, renormalize ? selected.map(normalised) : selected)).toBeLessThan(gateTolerance);
    }
  });

  it("sends two tokens that prefer the same expert to different ones, with the plan's closed form", () => {
    const square = { tokens: 2, experts: 2, topK: 1, capacityFactor: 1 };
    const router = createRouterUnderTest("sinkhorn", square, { options: fine });
    const { expert } = router.route(Float32Array.of(3, 0, 2, 0));
    expect(expert).toEqual([[0], [1]]);
    const x = sigmoid((3 - 2) / 2);
    expect(
      largestDifference(router.plan(), [
        [x, 1 - x],
        [1 - x, x],
      ]),
    ).toBeLessThan(gateTolerance);
  });

  it("writes the plan it selected by, with rows that sum to 1 and columns within the reported error", () => {
    const router = createRouterUnderTest("sinkhorn", shape);
    const { expert, solver } = router.route(logits);
    const plan = router.plan();
    expect(plan.map((row) => largestIndices(row, shape.topK))).toEqual(expert);
    for (const row of plan) expect(row.reduce((sum, mass) => sum + mass, 0)).toBeCloseTo(1, 5);
    expect(solver!.converged).toBe(true);
    expect(solver!.marginalError).toBeLessThanOrEqual(1e-4);
    expect(columnError(plan)).toBeCloseTo(solver!.marginalError, 5);
  });

  it("runs the solver on every step, 100 iterations at most unless told otherwise", () => {
    const router = createRouterUnderTest("sinkhorn", shape, { options: { epsilon: 0.05, tolerance: 0 } });
    for (let step = 0; step < 3; step++) {
      const { solver } = router.route(skewedLogits(`every ${step}`, shape.tokens, shape.experts, 4));
      expect(solver).toMatchObject({ iterations: 100, converged: false });
    }
  });

  it("balances the load that top-k leaves unbalanced", () => {
    const plain = createRouterUnderTest("topk", shape).route(logits);
    const balanced = createRouterUnderTest("sinkhorn", shape).route(logits);
    expect(maxVio(plain.load)).toBeGreaterThan(1);
    expect(maxVio(balanced.load)).toBeLessThan(0.3);
  });

  it.each([
    ["sinkhorn", {}],
    ["sinkhorn", { epsilon: 0.2 }],
    ["sinkhorn", { solver: "sns" }],
    ["ssr", { select: { mode: "every", n: 1 } }],
    ["ssr", { select: { mode: "every", n: 1 }, cost: "logits", epsilon: 0.5 }],
  ])(
    "%s %j gives tokens that are all alike, whose plan is 1/E, the first experts whatever their logits",
    (kind, options) => {
      for (const kernels of backends) {
        for (const tokens of [1, 12]) {
          const { route } = createRouterUnderTest(
            kind,
            { tokens, experts: 9, topK: 4, capacityFactor: 1 },
            { kernels, options },
          );
          for (let step = 0; step < 60; step++) {
            // Exponents range over 30 and more, so that float32 entries of a Gibbs kernel are off by 5e-6 and more.
            const row = randomLogits(`alike ${step}`, 1, 9, step % 3 === 0 ? 1 : 6);
            const logits = Float32Array.from({ length: tokens * 9 }, (_, entry) => row[entry % 9]);
            expect(route(logits).expert).toEqual(new Array(tokens).fill([0, 1, 2, 3]));
          }
        }
      }
    },
  );

  it("routes at inference by plain top-k", () => {
    const router = createRouterUnderTest("sinkhorn", shape);
    router.route(logits);
    const plain = createRouterUnderTest("topk", shape).route(logits);
    expect(router.infer(logits)).toEqual(plain);
  });
});
