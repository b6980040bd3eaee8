import { describe, expect, it } from "vitest";
import { maxVio } from "../../../src/core/metrics/load.ts";
import { createRandom } from "../../../src/core/random.ts";
import {
  affinities,
  largestDifference,
  largestIndices,
  normalised,
  plainSinkhorn,
  toMatrix,
} from "../../support/plain.ts";
import { randomLogits, skewedLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest, type RouterSetting } from "../../support/router-under-test.ts";

const gateTolerance = 2e-6;

const shape = { tokens: 30, experts: 6, topK: 2, capacityFactor: 1 };
const logits = skewedLogits("ssr", shape.tokens, shape.experts, 2);
const rows = toMatrix(logits, shape.tokens, shape.experts);
const always = { select: { mode: "every", n: 1 } };
const never = { select: { mode: "first", steps: 0 } };

/** On which of `steps` steps the solver ran, with the same logits on each. */
function selectedSteps(select: object, steps: number, setting: RouterSetting = {}): number[] {
  const router = createRouterUnderTest("ssr", shape, { options: { select }, ...setting });
  return Array.from({ length: steps }, (_, step) => ({ step, solver: router.route(logits).solver }))
    .filter(({ solver }) => solver !== undefined)
    .map(({ step }) => step);
}

describe("ssr on a selected step", () => {
  it("selects and gates by the plan at ε = 1, which its default settings find", () => {
    const router = createRouterUnderTest("ssr", shape, { options: always });
    const { expert, gate, solver } = router.route(logits);
    expect(solver).toMatchObject({ converged: true });
    expect(solver!.marginalError).toBeLessThanOrEqual(1e-4);
    const plan = plainSinkhorn(rows, 1, solver!.iterations);
    expect(expert).toEqual(plan.map((row) => largestIndices(row, shape.topK)));
    const gates = expert.map((row, token) => normalised(row.map((e) => plan[token][e])));
    expect(largestDifference(gate, gates)).toBeLessThan(gateTolerance);
    // Three sweeps, which were the default once, do not get there.
    expect(solver!.iterations).toBeGreaterThan(3);
    expect(largestDifference(router.plan(), plan)).toBeLessThan(gateTolerance);
  });

  it("takes ε and the iterations from its options, and the plan's gates sum to 1 whatever `renormalize` says", () => {
    const options = { ...always, epsilon: 0.4, maxIterations: 7, tolerance: 0, renormalize: false };
    const { expert, gate } = createRouterUnderTest("ssr", shape, { options, scores: "sigmoid" }).route(logits);
    const plan = plainSinkhorn(rows, 0.4, 7);
    expect(expert).toEqual(plan.map((row) => largestIndices(row, shape.topK)));
    const gates = expert.map((row, token) => normalised(row.map((e) => plan[token][e])));
    expect(largestDifference(gate, gates)).toBeLessThan(gateTolerance);
  });
});

describe("ssr on the other steps", () => {
  it.each(["softmax", "sigmoid"] as const)("is plain top-k with %s affinities", (scores) => {
    for (const renormalize of [true, false]) {
      const router = createRouterUnderTest("ssr", shape, { options: { ...never, renormalize }, scores });
      const plain = createRouterUnderTest("topk", shape, { options: { renormalize }, scores });
      expect(router.route(logits)).toEqual(plain.route(logits));
    }
  });

  it.each(["softmax", "sigmoid"] as const)("writes the %s affinities divided by their sum as the plan", (scores) => {
    const router = createRouterUnderTest("ssr", shape, { options: never, scores });
    router.route(logits);
    const expected = affinities(rows, scores).map(normalised);
    expect(largestDifference(router.plan(), expected)).toBeLessThan(gateTolerance);
  });

  it("writes a plan with rows that sum to 1 even where all sigmoids underflow", () => {
    const one = { tokens: 1, experts: 2, topK: 1, capacityFactor: 1 };
    const router = createRouterUnderTest("ssr", one, { options: never, scores: "sigmoid" });
    router.route(Float32Array.of(-1e4, -1e4));
    expect(router.plan()).toEqual([[0.5, 0.5]]);
  });
});

describe("ssr's selection of steps", () => {
  it("selects each step with probability p, by the router's own random numbers and no others", () => {
    const random = createRandom("own");
    const expected = Array.from({ length: 300 }, (_, step) => ({ step, draw: random.uniform() }))
      .filter(({ draw }) => draw < 0.3)
      .map(({ step }) => step);
    expect(selectedSteps({ mode: "probability", p: 0.3 }, 300, { seed: "own" })).toEqual(expected);
    expect(selectedSteps({ mode: "probability", p: 0.3 }, 300, { seed: "other" })).not.toEqual(expected);
    // Five standard errors of a binomial: √(300 · 0.3 · 0.7) ≈ 8.
    expect(Math.abs(expected.length - 90)).toBeLessThan(40);
  });

  it("selects a tenth of the steps unless told otherwise", () => {
    const router = createRouterUnderTest("ssr", shape, { seed: "own" });
    const ran = Array.from({ length: 300 }, () => router.route(logits).solver !== undefined);
    expect(ran.flatMap((selected, step) => (selected ? [step] : []))).toEqual(
      selectedSteps({ mode: "probability", p: 0.1 }, 300, { seed: "own" }),
    );
    expect(Math.abs(ran.filter(Boolean).length - 30)).toBeLessThan(26);
  });

  it("selects no step with p = 0 and every step with p = 1", () => {
    expect(selectedSteps({ mode: "probability", p: 0 }, 20)).toEqual([]);
    expect(selectedSteps({ mode: "probability", p: 1 }, 20)).toHaveLength(20);
  });

  it("selects every n-th step from step 0 on", () => {
    expect(selectedSteps({ mode: "every", n: 4 }, 10)).toEqual([0, 4, 8]);
  });

  it("selects the first steps of the stream", () => {
    expect(selectedSteps({ mode: "first", steps: 3 }, 10)).toEqual([0, 1, 2]);
  });

  it("counts the stream's steps, not its own batches", () => {
    // The run begins at step 2: steps 3 and 6 are its batches 1 and 4.
    expect(selectedSteps({ mode: "every", n: 3 }, 6, { firstStep: 2 })).toEqual([1, 4]);
    expect(selectedSteps({ mode: "first", steps: 3 }, 6, { firstStep: 2 })).toEqual([0]);
  });

  it("selects a step only when the batch before was less balanced than the threshold", () => {
    const even = randomLogits("even", shape.tokens, shape.experts, 1);
    const uneven = skewedLogits("uneven", shape.tokens, shape.experts, 3);
    const threshold = 0.6;
    const router = createRouterUnderTest("ssr", shape, {
      options: { select: { mode: "threshold", maxVio: threshold } },
    });
    let last: number | null = null;
    const selected = [uneven, uneven, uneven, even, even, uneven, uneven, even].map((batch) => {
      const { load, solver } = router.route(batch);
      expect(solver !== undefined).toBe(last !== null && last > threshold);
      last = maxVio(load);
      return solver !== undefined;
    });
    // Top-k on the uneven batches is above the threshold, the plan's choice and the even batches are below.
    expect(selected).toEqual([false, true, false, true, false, false, true, false]);
  });

  it("keeps the last balance in its state", () => {
    const options = { select: { mode: "threshold", maxVio: 0.6 } };
    const uneven = skewedLogits("uneven", shape.tokens, shape.experts, 3);
    const first = createRouterUnderTest("ssr", shape, { options });
    first.route(uneven);
    const second = createRouterUnderTest("ssr", shape, { options });
    second.router.restore(JSON.parse(JSON.stringify(first.router.state())));
    expect(second.route(uneven).solver).toBeDefined();
  });
});
