import seedrandom from "seedrandom";
import { describe, expect, it } from "vitest";
import { createEntropicSolver, type EntropicOptions } from "../../../../src/core/transport/entropic/entropic.ts";
import { backends } from "../../../support/backends.ts";
import { type Matrix, toMatrix } from "../../../support/plain.ts";
import { skewedLogits } from "../../../support/random-logits.ts";

/** g after `sweeps` column updates from 0, by the formula with exponentials that float64 can hold. */
function plainPotential(logits: Matrix, epsilon: number, sweeps: number): number[] {
  const experts = logits[0].length;
  let potential = new Array<number>(experts).fill(0);
  for (let sweep = 0; sweep < sweeps; sweep++) {
    const columnSum = new Array<number>(experts).fill(0);
    for (const row of logits) {
      const weight = row.map((logit, e) => Math.exp(logit / epsilon + potential[e]));
      const rowSum = weight.reduce((sum, value) => sum + value, 0);
      for (let e = 0; e < experts; e++) columnSum[e] += weight[e] / rowSum;
    }
    potential = potential.map((value, e) => value + Math.log(logits.length / experts / columnSum[e]));
  }
  return potential;
}

/** Slopes of a potential, which sum to 0. */
function randomSlopes(experts: number): number[] {
  const generator = seedrandom("slopes");
  const slopes = Array.from({ length: experts }, () => 2 * generator() - 1);
  const mean = slopes.reduce((sum, slope) => sum + slope, 0) / experts;
  return slopes.map((slope) => slope - mean);
}

/** By how much at most the solver's gradient of slopes·g differs from central differences of `plainPotential`. */
function gradientError(
  kernels: (typeof backends)[number],
  options: EntropicOptions,
  [tokens, experts]: readonly [number, number],
  plainSweeps?: number,
): { error: number; sweeps: number | null; largest: number } {
  const { epsilon } = options;
  const solver = createEntropicSolver(kernels, tokens + 2, experts, options);
  const logits = kernels.allocateFloat32((tokens + 2) * experts);
  logits.set(skewedLogits("gradient", tokens, experts, 1.5));
  const { sweeps } = solver.solve({ logits, tokens });
  const slopes = randomSlopes(experts);
  const gradient = new Float32Array((tokens + 2) * experts).fill(1);
  solver.backward({ logits, tokens }, Float64Array.from(slopes), gradient);
  expect(gradient.slice(tokens * experts).every((value) => value === 1)).toBe(true);

  const rows = toMatrix(logits, tokens, experts);
  const value = () =>
    plainPotential(rows, epsilon, plainSweeps ?? sweeps!).reduce((sum, g, e) => sum + g * slopes[e], 0);
  const step = 1e-5 * epsilon;
  let error = 0;
  let largest = 0;
  rows.forEach((row, t) => {
    row.forEach((logit, e) => {
      row[e] = logit + step;
      const above = value();
      row[e] = logit - step;
      const slope = (above - value()) / (2 * step);
      row[e] = logit;
      error = Math.max(error, Math.abs(gradient[t * experts + e] - 1 - slope));
      largest = Math.max(largest, Math.abs(slope));
    });
  });
  return { error, largest, sweeps };
}

const sizes = [
  [9, 4],
  [8, 6],
  [7, 8],
] as const;

describe.each(backends.map((kernels) => ({ backend: kernels.backend, kernels })))(
  "the gradient of the column potential, on $backend kernels, is that of central differences",
  ({ kernels }) => {
    // Float32 sums of a handful of slopes of up to 1/ε and the 1 that was there. The differences add about 1e-9.
    const tolerance = (epsilon: number) => 1e-6 / Math.min(1, epsilon);

    it.each([
      { epsilon: 1, maxIterations: 1, tolerance: 0 },
      { epsilon: 0.2, maxIterations: 2, tolerance: 0 },
      { epsilon: 3, maxIterations: 7, tolerance: 1e-5 },
      { epsilon: 0.5, maxIterations: 30, tolerance: 0 },
      { epsilon: 0.5, maxIterations: 30, tolerance: 1e-3 },
    ])("after the sweeps that were made, with %o", (terms) => {
      for (const size of sizes) {
        for (const solver of ["sinkhorn", "sns"] as const) {
          // SNS sweeps as Sinkhorn does where it has too few iterations for anything else.
          if (solver === "sns" && terms.maxIterations > 7) continue;
          const { error, largest, sweeps } = gradientError(kernels, { solver, ...terms }, size);
          expect(sweeps).toBeGreaterThan(0);
          expect(error).toBeLessThan(tolerance(terms.epsilon));
          expect(largest).toBeGreaterThan(0.01);
        }
      }
    });

    it("of a balanced plan that Newton steps led to", () => {
      for (const size of sizes) {
        const options = { solver: "sns" as const, epsilon: 0.2, maxIterations: 200, tolerance: 1e-10 };
        const { error, largest, sweeps } = gradientError(kernels, options, size, 300);
        expect(sweeps).toBeNull();
        expect(error).toBeLessThan(tolerance(options.epsilon));
        expect(largest).toBeGreaterThan(0.2);
      }
    });

    it("of a plan without a sweep is nothing", () => {
      const options = { solver: "sinkhorn" as const, epsilon: 1, maxIterations: 0, tolerance: 0 };
      expect(gradientError(kernels, options, sizes[0])).toEqual({ error: 0, largest: 0, sweeps: 0 });
    });
  },
);
