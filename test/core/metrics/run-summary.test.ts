import { describe, expect, it } from "vitest";
import { createRunSummary, summarizeRegret } from "../../../src/core/metrics/run-summary.ts";
import { loadMetrics } from "../../../src/core/metrics/step-metrics.ts";
import type { PlanKind } from "../../../src/core/solver-report.ts";

const loads = [
  [4, 0, 2, 2],
  [2, 2, 0, 4],
  [0, 0, 6, 2],
];

function summarise(options: { deadWindow?: number; plan?: PlanKind } = {}) {
  const builder = createRunSummary({
    experts: 4,
    ranks: 2,
    deadWindow: options.deadWindow ?? 2,
    plan: options.plan,
  });
  for (const [step, load] of loads.entries()) {
    const metrics = { ...loadMetrics(load, 2, 8, new Float64Array(2)), score: 0.1 * (step + 1) };
    builder.observe({
      step,
      tokens: 4,
      load,
      metrics,
      regret: null,
      ...(step === 1 && { solver: { iterations: 7, marginalError: 0.5, converged: false } }),
    });
  }
  return builder.summary([1, 1, 2]);
}

describe("the summary of a run", () => {
  it("takes balance from the loads summed over all steps", () => {
    // Sums 6, 2, 8, 8 of mean 6; ranks 8 and 16 of mean 12.
    const { maxVioGlobal, loadCv, rankMaxVio, loadGini, loadEntropy } = summarise();
    expect(maxVioGlobal).toBeCloseTo(8 / 6 - 1, 15);
    expect(loadCv).toBeCloseTo(Math.sqrt((0 + 16 + 4 + 4) / 4) / 6, 15);
    expect(rankMaxVio).toBeCloseTo(16 / 12 - 1, 15);
    // Mean absolute difference over twice the mean: pairs 4, 2, 2, 6, 6, 0 twice over 16 pairs.
    expect(loadGini).toBeCloseTo((2 * 20) / 16 / (2 * 6), 15);
    const shares = [6, 2, 8, 8].map((load) => load / 24);
    expect(loadEntropy).toBeCloseTo(-shares.reduce((sum, q) => sum + q * Math.log(q), 0) / Math.log(4), 15);
  });

  it("takes the batches' MaxVio 1, 1 and 2 as mean, interpolated 95th percentile and maximum", () => {
    const { maxVioBatchMean, maxVioBatchP95, maxVioBatchMax } = summarise();
    expect([maxVioBatchMean, maxVioBatchMax]).toEqual([4 / 3, 2]);
    expect(maxVioBatchP95).toBeCloseTo(1.9, 12);
  });

  it("follows idle experts", () => {
    // Expert 1 is idle at step 0 and 2, expert 0 at step 2, expert 2 at step 1.
    expect(summarise()).toMatchObject({
      idleFractionMean: 1 / 3,
      idleFractionMax: 0.5,
      idleStreakMax: 1,
      deadExperts: 0,
    });
    expect(summarise({ deadWindow: 1 }).deadExperts).toBe(2);
  });

  it("averages over pairs what is a fraction of pairs", () => {
    const { droppedFraction, score, churn, stepTimeMean } = summarise();
    expect(droppedFraction).toBeCloseTo((2 + 2 + 4) / 24, 15);
    expect(score).toBeCloseTo(0.2, 15);
    expect(churn).toBeNull();
    // Ranks carry 4, 4 · 4, 4 · 0, 8 of 8 pairs.
    expect(stepTimeMean).toBeCloseTo((1 + 1 + 2) / 3, 15);
  });

  it("averages regret over the steps on which the optimum was computed", () => {
    const series = { regret: [0.1, 0.2], regretCumulative: [0.1, 0.3], optimumGap: [0.01, 0.005] };
    const { regretMean, regretCumulative, optimumGapMax } = summarizeRegret(series, 3, 1);
    expect(regretMean).toBeCloseTo(0.15, 15);
    expect([regretCumulative, optimumGapMax]).toEqual([0.3, 0.01]);
    expect(summarizeRegret({ regret: [], regretCumulative: [], optimumGap: [] }, 3, 1)).toEqual({
      regretMean: null,
      regretSe: null,
      regretCumulative: null,
      optimumGapMax: null,
    });
    expect(summarise()).toMatchObject({
      regretMean: null,
      regretSe: null,
      regretCumulative: null,
      optimumGapMax: null,
    });
  });

  it("counts solver steps only for routers with a plan", () => {
    expect(summarise()).toMatchObject({ solverSteps: null, sinkhornSteps: null, notConvergedSteps: null });
    expect(summarise({ plan: "entropic" })).toMatchObject({
      solverSteps: 1,
      sinkhornSteps: 1,
      notConvergedSteps: 1,
      solverIterationsMean: 7,
    });
    expect(summarise({ plan: "sparsity-constrained" })).toMatchObject({ sinkhornSteps: null, notConvergedSteps: 1 });
  });
});

/** Trains on steps whose metrics are made of one `value` each. */
function summariseTraining(
  window: number,
  steps: readonly (readonly [value: number, tokens: number])[],
  clusters = true,
) {
  const builder = createRunSummary({ experts: 4, ranks: 1, deadWindow: window });
  for (const [step, [value, tokens]] of steps.entries()) {
    const load = loads[0];
    builder.observe({
      step,
      tokens,
      load,
      metrics: {
        ...loadMetrics(load, 2, 8, new Float64Array(1)),
        routingEntropy: value / 10,
        specialisation: clusters ? value / 100 : null,
      },
      regret: null,
      training: { taskLoss: value, gateGradientNorm: 10 * value, expertSimilarity: -value },
    });
  }
  return builder.summary(steps.map(() => 1));
}

describe("the summary of a run that trains", () => {
  it("takes where training ended over the window and its way over all steps, each step weighed by its tokens", () => {
    const summary = summariseTraining(2, [
      [8, 1],
      [4, 3],
      [2, 1],
    ]);
    expect(summary.taskLoss).toBeCloseTo((3 * 4 + 2) / 4, 15);
    expect(summary.taskLossMean).toBeCloseTo((8 + 3 * 4 + 2) / 5, 15);
    expect(summary.gateGradientNormMean).toBeCloseTo(10 * summary.taskLossMean!, 14);
    expect(summary.routingEntropy).toBeCloseTo(0.35, 15);
    expect(summary.specialisation).toBeCloseTo(0.035, 15);
    expect(summary.expertSimilarity).toBeCloseTo(-3.5, 15);
  });

  it("takes a window of all steps, or of more than there are, for the whole run", () => {
    const steps = [
      [8, 1],
      [4, 3],
    ] as const;
    for (const window of [2, 100]) {
      const { taskLoss, taskLossMean } = summariseTraining(window, steps);
      expect(taskLoss).toBe(taskLossMean);
    }
  });

  it("has no specialisation if clusters are not known, and nothing at all if nothing trains", () => {
    expect(summariseTraining(1, [[8, 1]], false)).toMatchObject({ taskLoss: 8, specialisation: null });
    const { taskLoss, taskLossMean, gateGradientNormMean, routingEntropy, specialisation } = summarise();
    const values = [taskLoss, taskLossMean, gateGradientNormMean, routingEntropy, specialisation];
    expect(values).toEqual([null, null, null, null, null]);
  });
});
