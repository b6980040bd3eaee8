import { mean } from "d3-array";
import { linearRegression, linearRegressionLine, rSquared } from "simple-statistics";
import { beforeAll, describe, expect, it } from "vitest";
import { createReferenceKernels } from "../../src/core/kernels/reference.ts";
import { createDualRegretMeter } from "../../src/core/metrics/dual-regret.ts";
import { driftKind } from "../../src/core/streams/drift.ts";
import { gaussianKind } from "../../src/core/streams/gaussian.ts";
import type { StreamKind } from "../../src/core/streams/stream.ts";
import { generate } from "../core/streams/stream-context.ts";
import { bestFixedBias, runOnline, sigmoidSteps } from "./online-run.ts";

const [tokens, experts, topK, stepCount] = [16, 4, 1, 1200];
const seeds = [1, 2, 3, 4, 5, 6];

/** Regret and |g|² of each variant, means over the seeds: the claims are about expectations. */
async function meanRuns<Options>(kind: StreamKind<Options>, options: Record<string, unknown>, variants: object[]) {
  const runs: ReturnType<typeof runOnline>[][] = [];
  for (const seed of seeds) {
    const batches = await generate(kind, options, { steps: stepCount, tokens, experts }, seed);
    const steps = sigmoidSteps(batches, experts);
    const best = bestFixedBias(steps, topK);
    runs.push(variants.map((variant) => runOnline(batches, steps, best, topK, variant)));
  }
  return variants.map((_, variant) => ({
    regret: Array.from({ length: stepCount }, (_, step) => mean(runs, (run) => run[variant].regret[step])!),
    square: mean(runs.flatMap((run) => run[variant].squares))!,
    bound: mean(runs, (run) => run[variant].squares.reduce((sum, square, n) => sum + square / (2 * (n + 1)), 0))!,
  }));
}

/** The least-squares line of regret over scale(n), at steps evenly spaced in log n from 10 on. */
function fitLine(regret: number[], scale: (n: number) => number) {
  const steps = Array.from({ length: 40 }, (_, i) => Math.round(10 * (stepCount / 10) ** (i / 39)));
  const points = steps.map((n) => [scale(n), regret[n - 1]]);
  const line = linearRegression(points);
  return { slope: line.m, rSquared: rSquared(points, linearRegressionLine(line)) };
}

describe("on a stationary stream", () => {
  let inverse: Awaited<ReturnType<typeof meanRuns>>[number];
  let constant: typeof inverse;

  beforeAll(async () => {
    [inverse, constant] = await meanRuns(gaussianKind, { popularity: "uniform", skew: 1 }, [
      { schedule: "inverse", updateRate: 1 },
      { schedule: "constant", updateRate: 0.1 },
    ]);
  });

  it("steps u/n have a regret that grows with log n and not with n", () => {
    const logarithmic = fitLine(inverse.regret, Math.log);
    // Six runs leave some noise on the curve; on a straight line of n it would not fit at all.
    expect(logarithmic.rSquared).toBeGreaterThan(0.95);
    expect(logarithmic.rSquared).toBeGreaterThan(fitLine(inverse.regret, (n) => n).rSquared + 0.1);
    expect(logarithmic.slope).toBeGreaterThan(0);
  });

  it("and stay below half the sum of the steps times the squared gradients", () => {
    expect(inverse.regret.at(-1)!).toBeLessThan(inverse.bound);
  });

  it("constant steps have a regret that grows with n, by a quarter of u times the squared gradient a step", () => {
    const linear = fitLine(constant.regret, (n) => n);
    expect(linear.rSquared).toBeGreaterThan(0.99);
    expect(linear.rSquared).toBeGreaterThan(fitLine(constant.regret, Math.log).rSquared + 0.1);
    // The law is of small u and of the mean over many steps: 0.1 times a curvature of about 1 is not very small.
    expect(linear.slope / ((0.1 / 4) * constant.square)).toBeGreaterThan(0.85);
    expect(linear.slope / ((0.1 / 4) * constant.square)).toBeLessThan(1.15);
    expect(constant.regret.at(-1)!).toBeGreaterThan(5 * inverse.regret.at(-1)!);
  });
});

describe("on a stream that swings", () => {
  it("constant steps beat every fixed bias and steps u/n", async () => {
    const [inverse, constant] = await meanRuns(driftKind, { mode: "periodic", period: 300 }, [
      { schedule: "inverse", updateRate: 1 },
      { schedule: "constant", updateRate: 0.1 },
    ]);
    expect(constant.regret.at(-1)!).toBeLessThan(0);
    expect(constant.regret.at(-1)!).toBeLessThan(inverse.regret.at(-1)! - 10);
  });
});

it("the program's own dual regret is that of a plain minimiser", async () => {
  const steps = 200;
  const batches = await generate(gaussianKind, { popularity: "uniform", skew: 1 }, { steps, tokens, experts });
  const scores = sigmoidSteps(batches, experts);
  const { regret, biases } = runOnline(batches, scores, bestFixedBias(scores, topK), topK, { updateRate: 0.1 });
  const kernels = createReferenceKernels();
  const shape = { tokens, experts, topK, capacityFactor: 1, steps, seed: 1 };
  const meter = createDualRegretMeter(kernels, shape, "sigmoid");
  for (const [step, logits] of batches.entries()) meter.observe({ step, tokens, experts, logits });
  const found = meter.regret(Float64Array.from(biases.flat()));
  // The plain minimiser ends at a gradient of 1e-3 and a curvature of about 1: 200 · 1e-6 / 2 above the minimum.
  expect(Math.abs(found.at(-1)! - regret.at(-1)!)).toBeLessThan(2e-4);
});
