import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createKernels } from "../../../../src/core/kernels/index.ts";
import { createSparsityConstrainedSolver } from "../../../../src/core/transport/sparse/sparsity-constrained.ts";
import { highsSparseColumns } from "../../../support/highs.ts";
import { toMatrix } from "../../../support/plain.ts";
import { quadraticProgram } from "../../../support/quadratic-program.ts";
import { randomLogits } from "../../../support/random-logits.ts";

const kernels = createKernels();
const page = readFileSync(new URL("../../../../docs/scot.md", import.meta.url), "utf8");
const seeds = [0, 1, 2];
// To which the mixed-integer optimum is proven.
const gap = 1e-5;
const defaults = {
  formulation: "dual",
  solver: "lbfgs",
  learningRate: 0.01,
  maxIterations: 200,
  tolerance: 1e-5,
} as const;

/** How far the plan's value is above the mixed-integer optimum, for normal affinities. */
function shortfall(tokens: number, experts: number, k: number, gamma: number, seed: number): number {
  const affinity = randomLogits(`optimum ${seed}`, tokens, experts);
  const rows = toMatrix(affinity, tokens, experts);
  const optimum = highsSparseColumns(rows, k, gamma, gap, (isIn) => quadraticProgram(rows, gamma, isIn));
  const solver = createSparsityConstrainedSolver(kernels, tokens, experts, k, { ...defaults, gamma });
  const { primal, dual, converged, maxColumnCardinality } = solver.solve({ affinity, tokens, maxTokens: k });
  // All of these have a feasible plan, and none is missed.
  expect(optimum.value).toBeLessThan(Number.POSITIVE_INFINITY);
  expect(converged).toBe(true);
  expect(maxColumnCardinality).toBeLessThanOrEqual(k);
  // Marginals are met to 1e-5 of T, at potentials below 10.
  expect(dual).toBeLessThan(optimum.value + 1e-3);
  expect(primal).toBeGreaterThan(optimum.bound - 1e-3);
  return primal - optimum.value;
}

describe("the plan with sparse columns against the mixed-integer optimum", () => {
  it.each([
    [8, 4, 3, 0.5],
    [8, 4, 3, 1],
    [10, 4, 3, 0.5],
    [10, 4, 3, 1],
    [10, 3, 4, 0.5],
    [10, 3, 4, 1],
  ])("is as docs/scot.md says at %d × %d, k = %d, γ = %d", { timeout: 120_000 }, (tokens, experts, k, gamma) => {
    const shortfalls = seeds.map((seed) => shortfall(tokens, experts, k, gamma, seed) / tokens);
    const optimal = shortfalls.filter((own) => own < 1e-4).length;
    const [mean, worst] = [shortfalls.reduce((sum, own) => sum + own, 0) / seeds.length, Math.max(...shortfalls)];
    const figures = [mean, worst].map((own) => Math.max(0, own).toFixed(3)).join(" | ");
    const start = `| ${tokens} × ${experts} | ${k} | ${gamma} | `;
    const line = page.split("\n").find((own) => own.startsWith(start));
    expect(line).toBe(`${start}${optimal} of ${seeds.length} | ${figures} |`);
  });
});
