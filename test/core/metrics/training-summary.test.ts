import { expect, it } from "vitest";
import type { TrainingMetrics } from "../../../src/core/metrics/training.ts";
import { createTrainingSummary } from "../../../src/core/metrics/training-summary.ts";

function summarise(window: number, steps: readonly (readonly [value: number, tokens: number])[], clusters = true) {
  const builder = createTrainingSummary(window);
  for (const [value, tokens] of steps) {
    const training: TrainingMetrics = {
      taskLoss: value,
      gateGradientNorm: 10 * value,
      routingEntropy: value / 10,
      specialisation: clusters ? value / 100 : null,
      expertSimilarity: -value,
    };
    builder.observe(training, tokens);
  }
  return builder.summary();
}

it("takes where training ended over the window and its way over all steps, each step weighed by its tokens", () => {
  const summary = summarise(2, [
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
    const { taskLoss, taskLossMean } = summarise(window, steps);
    expect(taskLoss).toBe(taskLossMean);
  }
});

it("has no specialisation where clusters are not known, and nothing at all where nothing trains", () => {
  expect(summarise(1, [[8, 1]], false)).toMatchObject({ taskLoss: 8, specialisation: null });
  expect(new Set(Object.values(summarise(3, [])))).toEqual(new Set([null]));
});
