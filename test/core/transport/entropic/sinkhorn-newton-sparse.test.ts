import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Kernels } from "../../../../src/core/kernels/kernels.ts";
import type { EntropicOptions } from "../../../../src/core/transport/entropic/entropic.ts";
import { backends } from "../../../support/backends.ts";
import { expectNoMemory, extremeProblems, planTolerance, solveEntropic } from "../../../support/entropic.ts";
import { columnError, largestDifference, plainSinkhorn, sigmoid, toMatrix } from "../../../support/plain.ts";
import { randomLogits, skewedLogits } from "../../../support/random-logits.ts";

const fine: EntropicOptions = { solver: "sns", epsilon: 1, maxIterations: 400, tolerance: 1e-10 };

/** Solves with a new solver; `errors` are the marginal errors at ε of the points evaluated, in their order. */
function solveWith(
  kernels: Kernels,
  logits: ArrayLike<number>,
  tokens: number,
  experts: number,
  options: Partial<EntropicOptions> = {},
) {
  const settings = { ...fine, ...options };
  const errors: number[] = [];
  const seen = { hessians: 0, allFinite: true };
  const watched: Kernels = {
    ...kernels,
    logSinkhornSweep(values, epsilon, potential, rows, columns, rowLogSum, logColumnSum) {
      kernels.logSinkhornSweep(values, epsilon, potential, rows, columns, rowLogSum, logColumnSum);
      seen.allFinite &&= potential.every(Number.isFinite) && logColumnSum.every(Number.isFinite);
      if (epsilon !== settings.epsilon) return;
      errors.push(logColumnSum.reduce((sum, s) => sum + Math.abs(Math.exp(s) / rows - 1 / columns), 0));
    },
    entropicHessian(...words) {
      kernels.entropicHessian(...words);
      seen.hessians += 1;
      seen.allFinite &&= words[7].every(Number.isFinite);
    },
  };
  return { ...solveEntropic(watched, logits, tokens, experts, settings), ...seen, errors };
}

describe.each(backends)("the sns solver on $backend kernels", (kernels) => {
  const solve = (logits: ArrayLike<number>, tokens: number, experts: number, options: Partial<EntropicOptions> = {}) =>
    solveWith(kernels, logits, tokens, experts, options);

  it.each([2, 0.5, 0.05, 0.005])("finds at ε = %d the plan of two tokens and two experts in closed form", (epsilon) => {
    const [a, b, c, d] = [0.5, 0.25, 0.02, 0];
    const x = sigmoid((a + d - b - c) / (2 * epsilon));
    const { plan, converged } = solve([a, b, c, d], 2, 2, { epsilon });
    expect(converged).toBe(true);
    expect(
      largestDifference(plan, [
        [x, 1 - x],
        [1 - x, x],
      ]),
    ).toBeLessThan(planTolerance);
  });

  it.each([1, 0.2, 0.1])("agrees at ε = %d with a dense float64 Sinkhorn run to convergence", (epsilon) => {
    const logits = skewedLogits("sns", 40, 7, 2);
    const expected = plainSinkhorn(toMatrix(logits, 40, 7), epsilon, 5000);
    expect(columnError(expected)).toBeLessThan(1e-9);
    const { plan, converged, iterations } = solve(logits, 40, 7, { epsilon });
    expect(converged).toBe(true);
    expect(iterations).toBeLessThan(40);
    expect(largestDifference(plan, expected)).toBeLessThan(planTolerance);
  });

  it("converges faster than linearly once it is close", () => {
    const { errors, hessians, marginalError } = solve(skewedLogits("fast", 64, 8, 2), 64, 8, { epsilon: 0.1 });
    expect(hessians).toBeGreaterThan(3);
    expect(marginalError).toBeLessThan(1e-10);
    // From a hundredth on each step takes at least a further power of 1.5, up to a factor of 10.
    const steps = errors.slice(errors.findLastIndex((error) => error > 0.01) + 1);
    expect(steps.length).toBeGreaterThan(1);
    for (let i = 1; i < steps.length; i++) expect(steps[i]).toBeLessThan(10 * steps[i - 1] ** 1.5);
  });

  it("needs tens of iterations where Sinkhorn needs hundreds or more", () => {
    const logits = skewedLogits("hundreds", 64, 8, 2);
    for (const epsilon of [0.05, 0.01, 0.001]) {
      const { iterations, converged } = solve(logits, 64, 8, { epsilon });
      expect(converged).toBe(true);
      expect(iterations).toBeLessThan(60);
      const plain = solve(logits, 64, 8, { epsilon, solver: "sinkhorn", maxIterations: 200 });
      expect(plain.converged).toBe(false);
    }
  });

  it("leaves to Sinkhorn what it solves in a few sweeps", () => {
    const logits = randomLogits("easy", 64, 8);
    const options = { epsilon: 2, tolerance: 1e-6 };
    const { hessians, iterations, columnPotential } = solve(logits, 64, 8, options);
    const plain = solve(logits, 64, 8, { ...options, solver: "sinkhorn" });
    expect({ hessians, iterations, columnPotential }).toEqual({
      hessians: 0,
      iterations: plain.iterations,
      columnPotential: plain.columnPotential,
    });
  });

  it("is optimal: no exchange of mass between two tokens and two experts raises ⟨Z, P⟩ + ε·H(P)", () => {
    const epsilon = 0.2;
    const rows = toMatrix(randomLogits("optimal", 12, 5), 12, 5);
    const { columnPotential, marginalError } = solve(rows.flat(), 12, 5, { epsilon });
    // Z − ε·log P is a sum of a row and a column term by construction; what is left to show are the marginals.
    const plan = rows.map((row) => {
      const weights = row.map((z, e) => Math.exp(z / epsilon + columnPotential[e]));
      const sum = weights.reduce((a, b) => a + b);
      return weights.map((weight) => weight / sum);
    });
    expect(columnError(plan)).toBeLessThan(1e-10);
    expect(Math.abs(columnError(plan) - marginalError)).toBeLessThan(1e-13);
  });

  it("reaches the plan that Sinkhorn reaches, and no worse an error with the same iterations", () => {
    fc.assert(
      fc.property(
        fc.nat(1000),
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 9 }),
        fc.constantFrom(0, 3),
        fc.constantFrom(0.15, 0.5, 2),
        fc.constantFrom(3, 10, 30, 100),
        (seed, tokens, experts, skew, epsilon, few) => {
          const logits = skewedLogits(`both ${seed}`, tokens, experts, skew);
          const sns = solve(logits, tokens, experts, { epsilon });
          expect(sns.converged).toBe(true);
          expect(Math.max(...sns.columnPotential)).toBe(0);
          const plain = solve(logits, tokens, experts, { epsilon, solver: "sinkhorn", maxIterations: 20_000 });
          // Where its rate is close to 1 a small error of Sinkhorn's marginals need not be a small error of its plan.
          if (plain.iterations < 3000) expect(largestDifference(sns.plan, plain.plan)).toBeLessThan(2 * planTolerance);
          const [short, plainShort] = (["sns", "sinkhorn"] as const).map((solver) =>
            solve(logits, tokens, experts, { epsilon, solver, maxIterations: few }),
          );
          expect(short.iterations).toBeLessThanOrEqual(few);
          if (!short.converged) expect(short.marginalError).toBeLessThanOrEqual(plainShort.marginalError * 1.000001);
        },
      ),
      { seed: 1, numRuns: kernels.backend === "wasm" ? 60 : 10 },
    );
  });

  it("is finite in every iterate and no worse than Sinkhorn for |Z| ≤ 1e4 and ε ≥ 1e-3", () => {
    fc.assert(
      fc.property(extremeProblems, fc.constantFrom(1e-3, 0.05, 1, 100), ({ tokens, experts, logits }, epsilon) => {
        const options = { epsilon, tolerance: 1e-7, maxIterations: 150 };
        const solution = solve(logits, tokens, experts, options);
        expect(solution.allFinite).toBe(true);
        expect(solution.columnPotential.every((value) => Number.isFinite(value) && value <= 0)).toBe(true);
        expect(solution.iterations).toBeLessThanOrEqual(150);
        expect(solution.converged).toBe(solution.marginalError <= 1e-7);
        // The error reported is the one of the plan that is written.
        expect(Math.abs(solution.marginalError - columnError(solution.plan))).toBeLessThan(planTolerance * experts);
        const plain = solve(logits, tokens, experts, { ...options, solver: "sinkhorn" });
        if (!solution.converged) expect(solution.marginalError).toBeLessThanOrEqual(plain.marginalError * 1.01);
      }),
      { seed: 1, numRuns: kernels.backend === "wasm" ? 200 : 60 },
    );
  });

  it.each([
    ["huge logits", (t: number, e: number) => 1e4 * Math.sin(12.9 * t + 78.2 * e * e)],
    ["duplicate rows", (_: number, e: number) => 10 * Math.sin(3 * e)],
    ["three kinds of rows", (t: number, e: number) => 20 * Math.sin(5 * (t % 3) + e)],
    ["experts nobody wants", (t: number, e: number) => (e % 3 === 0 ? -1e4 : Math.sin(12.9 * t + 78.2 * e * e))],
    ["an expert all want", (t: number, e: number) => (e === 0 ? 1e4 : Math.sin(12.9 * t + 78.2 * e * e))],
    ["ties", (t: number, e: number) => Math.round(3 * Math.sin(12.9 * t + 78.2 * e * e))],
  ])("converges at ε from 1 to 1e-3: %s", (_, logit) => {
    const [tokens, experts] = [60, 8];
    const logits = Float32Array.from({ length: tokens * experts }, (__, i) =>
      logit(Math.floor(i / experts), i % experts),
    );
    for (const epsilon of [1, 0.03, 1e-3]) {
      // Exponents of up to 1e7 are rounded by 1e-9, and so is the plan.
      const { converged, allFinite, iterations } = solve(logits, tokens, experts, { epsilon, tolerance: 1e-8 });
      expect({ epsilon, converged, allFinite }).toEqual({ epsilon, converged: true, allFinite: true });
      expect(iterations).toBeLessThan(200);
    }
  });

  it("reaches plans that are all but permutations, along which the dual has next to no curvature", () => {
    for (let seed = 0; seed < 40; seed++) {
      const { converged, iterations } = solve(randomLogits(`four ${seed}`, 4, 4, 3), 4, 4, { epsilon: 0.2 });
      expect(converged).toBe(true);
      expect(iterations).toBeLessThan(40);
    }
  });

  it("counts every update of the potential, and stops at the most allowed", () => {
    const logits = skewedLogits("budget", 40, 8, 4);
    // 4 is too few for any Newton step, 35 enough for some, and a tolerance of 0 uses all of them.
    for (const maxIterations of [0, 1, 4, 35]) {
      const { iterations, converged, hessians } = solve(logits, 40, 8, { epsilon: 0.05, maxIterations, tolerance: 0 });
      expect({ iterations, converged }).toEqual({ iterations: maxIterations, converged: false });
      expect(hessians > 0).toBe(maxIterations === 35);
    }
  });

  it("ends where float64 has no more to give, for a tolerance out of reach", () => {
    const { converged, marginalError } = solve(skewedLogits("floor", 40, 8, 2), 40, 8, { epsilon: 0.1, tolerance: 0 });
    expect(converged).toBe(false);
    expect(marginalError).toBeLessThan(1e-14);
  });

  it("solves a shorter batch for that batch's marginals, and remembers nothing of the one before", () => {
    expectNoMemory(kernels, { ...fine, epsilon: 0.1 });
  });
});
