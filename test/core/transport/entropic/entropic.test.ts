import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Kernels } from "../../../../src/core/kernels/kernels.ts";
import type { EntropicOptions } from "../../../../src/core/transport/entropic/entropic.ts";
import { backends } from "../../../support/backends.ts";
import { expectNoMemory, extremeProblems, planTolerance, solveEntropic } from "../../../support/entropic.ts";
import {
  columnError,
  largestDifference,
  type Matrix,
  plainSinkhorn,
  sigmoid,
  toMatrix,
} from "../../../support/plain.ts";
import { randomLogits, skewedLogits } from "../../../support/random-logits.ts";

const defaults: EntropicOptions = { solver: "sinkhorn", epsilon: 1, maxIterations: 100, tolerance: 1e-4 };

function solveWith(
  kernels: Kernels,
  logits: ArrayLike<number>,
  tokens: number,
  experts: number,
  options: Partial<EntropicOptions> = {},
) {
  return solveEntropic(kernels, logits, tokens, experts, { ...defaults, ...options });
}

function largestRowError(plan: Matrix): number {
  return Math.max(...plan.map((row) => Math.abs(row.reduce((sum, mass) => sum + mass, 0) - 1)));
}

/** `kernels`, but counting the sweeps of either kind and remembering whether every one of their results was finite. */
function watch(kernels: Kernels) {
  const seen = { gibbsSweeps: 0, logSweeps: 0, allFinite: true };
  const watched: Kernels = {
    ...kernels,
    sinkhornSweep(gibbs, columnScaling, tokens, experts, columnSum) {
      kernels.sinkhornSweep(gibbs, columnScaling, tokens, experts, columnSum);
      seen.gibbsSweeps += 1;
      seen.allFinite &&=
        columnScaling.every(Number.isFinite) && columnSum.every((sum) => Number.isFinite(Math.log(sum)));
    },
    logSinkhornSweep(logits, epsilon, potential, tokens, experts, rowLogSum, logColumnSum) {
      kernels.logSinkhornSweep(logits, epsilon, potential, tokens, experts, rowLogSum, logColumnSum);
      seen.logSweeps += 1;
      seen.allFinite &&= potential.every(Number.isFinite) && logColumnSum.every(Number.isFinite);
    },
  };
  return { watched, seen };
}

describe.each(backends)("createEntropicSolver on $backend kernels", (kernels) => {
  const solve = (logits: Float32Array, tokens: number, experts: number, options: Partial<EntropicOptions> = {}) =>
    solveWith(kernels, logits, tokens, experts, options);

  it("finds the plan of two tokens and two experts, which has a closed form", () => {
    // Both marginals are 1 each, so P = [[x, 1 − x], [1 − x, x]] with (x / (1 − x))² = exp((a + d − b − c) / ε).
    for (const epsilon of [0.5, 1, 3]) {
      for (const [a, b, c, d] of [
        [1, 0, 0, 1],
        [2, 1, 3, -1],
        [0.5, 0.25, 0, 0],
      ]) {
        const x = sigmoid((a + d - b - c) / (2 * epsilon));
        const { plan } = solve(Float32Array.of(a, b, c, d), 2, 2, { epsilon, tolerance: 1e-9, maxIterations: 1000 });
        expect(
          largestDifference(plan, [
            [x, 1 - x],
            [1 - x, x],
          ]),
        ).toBeLessThan(planTolerance);
      }
    }
  });

  it.each([0.3, 1, 4])("agrees at ε = %d with a dense float64 Sinkhorn run to convergence", (epsilon) => {
    const logits = skewedLogits("entropic", 40, 7, 2);
    const expected = plainSinkhorn(toMatrix(logits, 40, 7), epsilon, 3000);
    expect(columnError(expected)).toBeLessThan(1e-10);
    const { plan } = solve(logits, 40, 7, { epsilon, tolerance: 1e-9, maxIterations: 5000 });
    expect(largestDifference(plan, expected)).toBeLessThan(planTolerance);
  });

  it.each([0, 1, 2, 3, 10])("agrees with the dense Sinkhorn after %d column updates, in either precision", (sweeps) => {
    const logits = skewedLogits("few sweeps", 30, 6, 2);
    const expected = plainSinkhorn(toMatrix(logits, 30, 6), 1, sweeps);
    // With tolerances this fine every iteration is used; the finer one is out of float32's reach.
    for (const tolerance of [1e-5, 1e-12]) {
      const { plan, iterations, marginalError } = solve(logits, 30, 6, { tolerance, maxIterations: sweeps });
      if (iterations === sweeps) {
        expect(largestDifference(plan, expected)).toBeLessThan(planTolerance);
        expect(marginalError).toBeCloseTo(columnError(expected), 5);
      } else {
        expect(marginalError).toBeLessThanOrEqual(tolerance);
      }
    }
  });

  it("is optimal: no exchange of mass between two tokens and two experts raises ⟨Z, P⟩ + ε·H(P)", () => {
    const epsilon = 0.7;
    const rows = toMatrix(randomLogits("optimal", 12, 5, 1.5), 12, 5);
    const { plan } = solve(Float32Array.from(rows.flat()), 12, 5, { epsilon, tolerance: 1e-9, maxIterations: 2000 });
    // ∂/∂P of the objective is Z − ε log P; along an exchange its differences must cancel. float32 entries give the
    // logarithms an absolute error of 1e-6 each.
    const slope = plan.map((row, t) => row.map((mass, e) => rows[t][e] - epsilon * Math.log(mass)));
    for (let t = 1; t < 12; t++) {
      for (let e = 1; e < 5; e++) {
        expect(slope[t][e] - slope[0][e] - slope[t][0] + slope[0][0]).toBeCloseTo(0, 4);
      }
    }
  });

  it("leaves the plan at the softmax of the rows with no iterations", () => {
    const logits = skewedLogits("none", 10, 4, 2);
    const { plan, iterations, converged, marginalError } = solve(logits, 10, 4, { maxIterations: 0, epsilon: 0.5 });
    expect(iterations).toBe(0);
    expect(converged).toBe(false);
    const expected = plainSinkhorn(toMatrix(logits, 10, 4), 0.5, 0);
    expect(largestDifference(plan, expected)).toBeLessThan(planTolerance);
    expect(marginalError).toBeCloseTo(columnError(expected), 5);
  });

  it("needs no iteration where the rows' softmax is balanced already", () => {
    const { iterations, converged, plan } = solve(new Float32Array(12), 4, 3, { maxIterations: 0 });
    expect({ iterations, converged }).toEqual({ iterations: 0, converged: true });
    expect(largestDifference(plan, new Array(4).fill([1 / 3, 1 / 3, 1 / 3]))).toBeLessThan(planTolerance);
  });

  it("says that it has not converged when the iterations do not suffice", () => {
    const logits = skewedLogits("unfinished", 40, 8, 4);
    const few = solve(logits, 40, 8, { maxIterations: 1, epsilon: 0.3 });
    expect(few).toMatchObject({ iterations: 1, converged: false });
    expect(few.marginalError).toBeGreaterThan(1e-4);
    const enough = solve(logits, 40, 8, { maxIterations: 2000, epsilon: 0.3 });
    expect(enough.converged).toBe(true);
    expect(enough.iterations).toBeGreaterThan(1);
    expect(enough.iterations).toBeLessThan(2000);
    expect(enough.marginalError).toBeLessThanOrEqual(1e-4);
  });

  it("stops at the first iteration that meets the tolerance", () => {
    const logits = skewedLogits("first", 40, 8, 2);
    const { iterations } = solve(logits, 40, 8);
    expect(iterations).toBeGreaterThan(0);
    expect(solve(logits, 40, 8, { maxIterations: iterations - 1 }).converged).toBe(false);
  });

  it("solves a shorter batch for that batch's marginals, and remembers nothing of the one before", () => {
    expectNoMemory(kernels, defaults);
  });

  it("uses the float32 kernel for the default tolerance and float64 for finer ones or wider ranges", () => {
    const logits = skewedLogits("paths", 20, 4, 2);
    const run = (options: Partial<EntropicOptions>) => {
      const { watched, seen } = watch(kernels);
      solveWith(watched, logits, 20, 4, options);
      return { usesGibbs: seen.gibbsSweeps > 0, usesLog: seen.logSweeps > 0 };
    };
    expect(run({})).toEqual({ usesGibbs: true, usesLog: false });
    expect(run({ tolerance: 1e-6 })).toEqual({ usesGibbs: false, usesLog: true });
    expect(run({ epsilon: 1e-3 })).toEqual({ usesGibbs: false, usesLog: true });
  });

  it("finds the same potentials by the float32 kernel as in the log domain", () => {
    fc.assert(
      fc.property(
        fc.nat(1000),
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 9 }),
        fc.constantFrom(0.25, 1, 5),
        fc.constantFrom(0, 1, 3, 20),
        (seed, tokens, experts, epsilon, maxIterations) => {
          // Ranges of exponents up to 40 and a little more, so that both sides of the limit occur.
          const logits = randomLogits(`either ${seed}`, tokens, experts, 1.5);
          const gibbs = solve(logits, tokens, experts, { epsilon, maxIterations, tolerance: 1e-5 });
          const log = solve(logits, tokens, experts, { epsilon, maxIterations: gibbs.iterations, tolerance: 0 });
          // The float32 kernel's entries are off by 1e-7 relative, its sums by less; 20 iterations do not amplify that.
          expect(largestDifference(gibbs.plan, log.plan)).toBeLessThan(1e-5);
          expect(Math.abs(gibbs.marginalError - log.marginalError)).toBeLessThan(1e-5);
        },
      ),
      { seed: 1, numRuns: 60 },
    );
  });

  it("is finite in every iterate and exact in its rows for |Z| ≤ 1e4 and ε ≥ 1e-3", () => {
    fc.assert(
      fc.property(
        extremeProblems,
        fc.constantFrom(1e-3, 0.05, 1, 100),
        fc.constantFrom(1e-4, 1e-7),
        ({ tokens, experts, logits }, epsilon, tolerance) => {
          const { watched, seen } = watch(kernels);
          const options = { epsilon, tolerance, maxIterations: 30 };
          const solution = solveWith(watched, Float32Array.from(logits), tokens, experts, options);
          expect(seen.allFinite).toBe(true);
          expect(solution.columnPotential.every((value) => Number.isFinite(value) && value <= 0)).toBe(true);
          expect(solution.plan.flat().every((mass) => Number.isFinite(mass) && mass >= 0)).toBe(true);
          expect(largestRowError(solution.plan)).toBeLessThan(planTolerance * experts);
          expect(solution.marginalError).toBeGreaterThanOrEqual(0);
          expect(solution.marginalError).toBeLessThan(2);
          expect(solution.converged).toBe(solution.marginalError <= tolerance);
          // The error reported is the one of the plan that is written.
          expect(Math.abs(solution.marginalError - columnError(solution.plan))).toBeLessThan(planTolerance * experts);
        },
      ),
      { seed: 1, numRuns: 200 },
    );
  });

  it("never raises the marginal error with a further iteration", () => {
    const logits = skewedLogits("monotone", 25, 5, 3);
    const errors = [0, 1, 2, 3, 5, 8, 13].map(
      (maxIterations) => solve(logits, 25, 5, { maxIterations, tolerance: 0, epsilon: 0.5 }).marginalError,
    );
    expect(errors).toEqual([...errors].sort((a, b) => b - a));
    expect(errors[0]).toBeGreaterThan(10 * errors.at(-1)!);
  });

  it("does not change when a constant is added to a token's or an expert's logits, once converged", () => {
    const rows = toMatrix(randomLogits("shift", 12, 4), 12, 4);
    const shifted = rows.map((row, t) => row.map((logit, e) => logit + t - 2 * e));
    const options = { tolerance: 1e-9, maxIterations: 1000 };
    const plain = solve(Float32Array.from(rows.flat()), 12, 4, options);
    const moved = solve(Float32Array.from(shifted.flat()), 12, 4, options);
    // The shifted logits are rounded to float32, by up to 5e-7.
    expect(largestDifference(plain.plan, moved.plan)).toBeLessThan(5e-6);
  });
});
