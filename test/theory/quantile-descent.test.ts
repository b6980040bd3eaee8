import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { affinities, toMatrix } from "../support/plain.ts";
import { skewedLogits } from "../support/random-logits.ts";
import { createRouterUnderTest } from "../support/router-under-test.ts";
import { dualTimesTokens } from "./repeated-batch.ts";

/** Sums of a few hundred float64 terms below 100, and prices that differ from their quantile by their own rounding. */
const rounding = 1e-9;

/** T·f of the bias after each of `steps` updates on one and the same batch; first that of no bias. */
function dualOfUpdates(logits: Float32Array, experts: number, topK: number, steps: number): number[] {
  const tokens = logits.length / experts;
  const scores = affinities(toMatrix(logits, tokens, experts), "softmax");
  const { router, route } = createRouterUnderTest("quantile", { tokens, experts, topK, capacityFactor: 1 });
  return Array.from({ length: steps }, () => {
    const value = dualTimesTokens(scores, Float64Array.from(router.bias!), topK);
    route(logits);
    return value;
  });
}

const settings = fc.record({
  experts: fc.integer({ min: 2, max: 7 }),
  slots: fc.nat(),
  tokens: fc.integer({ min: 1, max: 24 }),
  skew: fc.double({ min: 0, max: 3, noNaN: true }),
  seed: fc.nat(),
});

describe("on one and the same batch, quantile balancing", () => {
  it("never raises the dual, since it minimises the two-sided dual over one side after the other", () => {
    fc.assert(
      fc.property(settings, ({ experts, slots, tokens, skew, seed }) => {
        const topK = 1 + (slots % experts);
        const values = dualOfUpdates(skewedLogits(`${seed}`, tokens, experts, skew), experts, topK, 10);
        for (let step = 1; step < values.length; step++) {
          expect(values[step]).toBeLessThanOrEqual(values[step - 1] + rounding);
        }
      }),
      { seed: 1, numRuns: 100 },
    );
  });

  it("can come to rest above the minimum: the dual has edges that no move of one side descends", () => {
    const [experts, topK, tokens] = [8, 2, 64];
    const values = dualOfUpdates(skewedLogits("edge", tokens, experts, 2), experts, topK, 400);
    const rest = values.at(-1)!;
    expect(values[0] - rest).toBeGreaterThan(1);
    expect(Math.abs(values[200] - rest)).toBeLessThan(rounding);
    // A subgradient method with steps 1/n, which need not descend, gets below it.
    const logits = skewedLogits("edge", tokens, experts, 2);
    const { router, route } = createRouterUnderTest(
      "alf-lb",
      { tokens, experts, topK, capacityFactor: 1 },
      {
        scores: "softmax",
        options: { updateRule: "proportional", schedule: "inverse-sqrt", updateRate: 0.3 },
      },
    );
    const scores = affinities(toMatrix(logits, tokens, experts), "softmax");
    let least = Number.POSITIVE_INFINITY;
    for (let step = 0; step < 3000; step++) {
      route(logits);
      least = Math.min(least, dualTimesTokens(scores, Float64Array.from(router.bias!), topK));
    }
    expect(rest - least).toBeGreaterThan(1e-3);
  });
});
