import { describe, expect, it } from "vitest";
import { createBalanceBound } from "../../results/theory/measures/balance-bound.ts";
import { createBoundaryCounter } from "../../results/theory/measures/boundary-tokens.ts";
import type { Matrix } from "../support/plain.ts";
import { skewedLogits } from "../support/random-logits.ts";
import { repeatBatch } from "./repeated-batch.ts";

/** Keys are sums of float64 numbers below 2, so that a margin moves by 2u up to 2⁻⁵⁰. */
const rounding = 1e-14;

/** The bound and the distance from balance of each expert on each step. */
function followBound(logits: Float32Array, experts: number, topK: number, steps: number, updateRate: number) {
  const tokens = logits.length / experts;
  const run = repeatBatch(logits, experts, topK, steps, { updateRate });
  const scores = Float64Array.from(run.scores.flat());
  const counter = createBoundaryCounter(experts, topK);
  const tracker = createBalanceBound(experts);
  const inside = new Int32Array(experts);
  const outside = new Int32Array(experts);
  return run.steps.map(({ bias, load }) => {
    counter.count(scores, bias, tokens, 2 * updateRate + rounding, inside, outside);
    tracker.observe(load, inside, outside);
    return {
      bound: Array.from(tracker.bound),
      distance: load.map((pairs) => Math.abs(pairs - (tokens * topK) / experts)),
      near: Math.max(...inside, ...outside),
    };
  });
}

/** The smallest distance of two tokens' differences S_te − S_tj over all pairs of experts. */
function leastSpacing(scores: Matrix): number {
  let least = Number.POSITIVE_INFINITY;
  for (let e = 0; e < scores[0].length; e++) {
    for (let j = 0; j < e; j++) {
      const differences = scores.map((row) => row[e] - row[j]).sort((left, right) => left - right);
      for (let t = 1; t < differences.length; t++) least = Math.min(least, differences[t] - differences[t - 1]);
    }
  }
  return least;
}

describe("under the sign rule on one and the same batch", () => {
  it.each([
    [8, 1, 0.02],
    [8, 2, 0.02],
    [8, 2, 0.005],
    [6, 4, 0.01],
  ])(
    "no expert of %i, top-%i, step %f, is further from balance than its boundary has tokens, once it met it",
    (...setting) => {
      const [experts, topK, updateRate] = setting;
      let bounded = 0;
      for (const seed of ["a", "b", "c"]) {
        const logits = skewedLogits(seed, 120, experts, 1);
        for (const { bound, distance } of followBound(logits, experts, topK, 200, updateRate)) {
          distance.forEach((value, e) => {
            expect(value).toBeLessThanOrEqual(bound[e] + 1e-9);
            if (Number.isFinite(bound[e])) bounded += 1;
          });
        }
      }
      // Most steps of most experts lie after their first crossing, so that the bound is about something.
      expect(bounded).toBeGreaterThan(0.5 * 3 * 200 * experts);
    },
  );

  it("every expert meets balance within (E − 1)·⌈1/2u⌉ steps", () => {
    const [experts, updateRate] = [5, 0.02];
    // Affinities near 0 and 1: as far from balance as affinities allow.
    const logits = skewedLogits("far", 60, experts, 6);
    const steps = followBound(logits, experts, 1, (experts - 1) * Math.ceil(1 / (2 * updateRate)) + 1, updateRate);
    expect(steps[0].bound).toContain(Number.POSITIVE_INFINITY);
    expect(Math.max(...steps.at(-1)!.bound)).toBeLessThan(60);
  });

  it("a step below half the spacing of the tokens leaves every expert within E − 1 of balance for good", () => {
    const [tokens, experts, topK] = [20, 4, 1];
    const logits = skewedLogits("spaced", tokens, experts, 1);
    const { scores } = repeatBatch(logits, experts, topK, 1, {});
    const updateRate = 0.49 * leastSpacing(scores);
    const steps = followBound(logits, experts, topK, Math.ceil(0.5 / updateRate), updateRate);
    expect(Math.max(...steps.map(({ near }) => near))).toBeLessThanOrEqual(experts - 1);
    const { bound } = steps.at(-1)!;
    expect(Math.max(...bound)).toBeLessThanOrEqual(experts - 1);
    expect(Math.max(...steps[0].distance)).toBeGreaterThan(experts - 1);
    expect(Math.max(...steps.at(-1)!.distance)).toBeLessThanOrEqual(experts - 1);
  });
});
