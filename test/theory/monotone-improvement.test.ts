import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { biasPull, lagrangian, switchingBenefits } from "../../results/theory/measures/lagrangian.ts";
import { skewedLogits } from "../support/random-logits.ts";
import { dualTimesTokens, type RepeatedRun, repeatBatch } from "./repeated-batch.ts";

/** Sums of a few thousand float64 terms below 100, each rounded to 2⁻⁵³ of itself. */
const rounding = 1e-9;

/** Both parts of T·(f(b⁺) − f(b)), and the change itself, of each step. */
function changesOf({ scores, steps }: RepeatedRun, topK: number) {
  const benefit = new Float64Array(scores.length);
  return steps.slice(1).map((next, step) => {
    const { bias, load } = steps[step];
    return {
      change: dualTimesTokens(scores, next.bias, topK) - dualTimesTokens(scores, bias, topK),
      pull: biasPull(bias, next.bias, load),
      total: switchingBenefits(steps[step], next, next.bias, scores.length, topK, benefit),
      least: Math.min(...benefit),
      imbalance: load.reduce((sum, pairs) => sum + Math.abs(pairs - (scores.length * topK) / load.length), 0),
    };
  });
}

const settings = fc.record({
  experts: fc.integer({ min: 2, max: 7 }),
  slots: fc.nat(),
  tokens: fc.integer({ min: 1, max: 24 }),
  skew: fc.double({ min: 0, max: 3, noNaN: true }),
  updateRule: fc.constantFrom("sign", "proportional"),
  schedule: fc.constantFrom("constant", "inverse-sqrt", "inverse"),
  updateRate: fc.double({ min: 1e-4, max: 1, noNaN: true }),
  center: fc.boolean(),
  seed: fc.nat(),
});

describe("on one and the same batch, the dual of auxiliary-loss-free balancing", () => {
  it("changes by exactly what the bias pulls plus what the tokens gain by switching, whatever the rule", () => {
    fc.assert(
      fc.property(settings, ({ experts, slots, tokens, skew, seed, ...options }) => {
        const topK = 1 + (slots % experts);
        const run = repeatBatch(skewedLogits(`${seed}`, tokens, experts, skew), experts, topK, 8, options);
        for (const { change, pull, total, least } of changesOf(run, topK)) {
          expect(Math.abs(change - pull - total)).toBeLessThan(rounding);
          expect(least).toBeGreaterThan(-rounding);
        }
        for (const { bias, load, pairScore, expert } of run.steps) {
          const value = lagrangian({ expert, pairScore }, bias, load, tokens, topK);
          expect(Math.abs(value * tokens - dualTimesTokens(run.scores, bias, topK))).toBeLessThan(rounding);
        }
      }),
      { seed: 1, numRuns: 60 },
    );
  });

  it("is pulled down by u times the L1 imbalance under the sign rule", () => {
    const updateRate = 0.01;
    const run = repeatBatch(skewedLogits("pull", 60, 6, 1), 6, 2, 20, { updateRate });
    for (const { pull, imbalance } of changesOf(run, 2)) {
      expect(imbalance).toBeGreaterThan(0);
      expect(Math.abs(pull + updateRate * imbalance)).toBeLessThan(rounding);
    }
  });

  it("falls on every step until the benefits outgrow the pull, and falls on exactly the steps where they do not", () => {
    const run = repeatBatch(skewedLogits("descent", 200, 8, 1.5), 8, 2, 120, { updateRate: 0.004 });
    const changes = changesOf(run, 2);
    const falls = changes.map(({ change }) => change < 0);
    expect(falls).toEqual(changes.map(({ pull, total }) => total < -pull));
    const firstRise = falls.indexOf(false);
    // 0.004 per step from scores some 0.3 apart: tens of steps down, then swings about the minimum.
    expect(firstRise).toBeGreaterThan(20);
    expect(falls.slice(firstRise)).toContain(true);
  });

  it("falls whenever, weighed by the signs before, the new loads still lean to the old side", () => {
    const updateRate = 0.03;
    const run = repeatBatch(skewedLogits("lean", 100, 6, 1), 6, 2, 80, { updateRate });
    let leaning = 0;
    changesOf(run, 2).forEach(({ change }, step) => {
      const [load, next] = [run.steps[step].load, run.steps[step + 1].load];
      const targetLoad = (100 * 2) / 6;
      const lean = load.reduce((sum, pairs, e) => sum + Math.sign(pairs - targetLoad) * (next[e] - targetLoad), 0);
      if (lean <= 0) return;
      leaning += 1;
      expect(change).toBeLessThanOrEqual(-updateRate * lean + rounding);
    });
    expect(leaning).toBeGreaterThan(5);
    expect(leaning).toBeLessThan(79);
  });
});
